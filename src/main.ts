import { runCommandLine } from "./cli";
import { returnToWorkingDirectory } from "./linux/clean-start";
import { callerArguments } from "./linux/environment";
import { passStandardStreams } from "./linux/standard-streams";

/** `hako init` is what create makes the container's first process from; everything else is the command line. */
async function main(): Promise<void> {
  const given = process.argv.slice(2);
  const isInit = given[0] === "init";
  try {
    if (!isInit) {
      returnToWorkingDirectory();
      passStandardStreams();
      process.exit(await runCommandLine([...callerArguments(given)]));
    }
    const { runInit } = await import("./init/stage");
    runInit(given.slice(1));
  } catch (error) {
    const { asHakoError } = await import("./errors");
    const { logFailure } = await import("./log");
    logFailure(asHakoError(error).oneLine);
    process.exit(isInit ? 2 : 1);
  }
}

main();
