import "./base/array-methods";
import { runCommandLine } from "./cli/run";
import program from "./commands";
import { callerArguments } from "./linux/file/caller-environment";
import { returnToWorkingDirectory } from "./linux/file/clean-start";
import { passStandardStreams } from "./linux/file/standard-streams";

async function main(): Promise<void> {
  try {
    returnToWorkingDirectory();
    passStandardStreams();
    process.exit(await runCommandLine(program, callerArguments(process.argv.slice(2))));
  } catch (error) {
    const { asHakoError } = await import("./base/errors");
    const { logFailure } = await import("./output/log");
    logFailure(asHakoError(error).oneLine);
    process.exit(1);
  }
}

main();
