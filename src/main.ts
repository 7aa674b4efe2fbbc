import "./array-methods";
import { runCommandLine } from "./cli";
import { returnToWorkingDirectory } from "./linux/clean-start";
import { callerArguments } from "./linux/environment";
import { passStandardStreams } from "./linux/standard-streams";

async function main(): Promise<void> {
  try {
    returnToWorkingDirectory();
    passStandardStreams();
    process.exit(await runCommandLine([...callerArguments(process.argv.slice(2))]));
  } catch (error) {
    const { asHakoError } = await import("./errors");
    const { logFailure } = await import("./log");
    logFailure(asHakoError(error).oneLine);
    process.exit(1);
  }
}

main();
