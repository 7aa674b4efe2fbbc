import { runCommandLine } from "./cli";
import { returnToWorkingDirectory } from "./linux/clean-start";
import { callerArguments } from "./linux/environment";
import { passStandardStreams } from "./linux/standard-streams";

/** `hako init` is what create makes the container's first process from; everything else is the command line. */
async function main(): Promise<void> {
  returnToWorkingDirectory();
  const words = callerArguments(process.argv.slice(2));
  if (words[0] !== "init") {
    passStandardStreams();
    process.exit(await runCommandLine([...words]));
  }
  const { runInit } = await import("./init/stage");
  try {
    runInit(words.slice(1));
  } catch (error) {
    const { asHakoError } = await import("./errors");
    const { logFailure } = await import("./log");
    logFailure(asHakoError(error).oneLine);
    process.exit(2);
  }
}

main();
