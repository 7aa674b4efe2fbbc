import { runCommandLine } from "./cli";
import { returnToWorkingDirectory } from "./linux/clean-start";
import { callerArguments } from "./linux/environment";
import { passStandardStreams } from "./linux/standard-streams";

async function main(): Promise<void> {
  returnToWorkingDirectory();
  const words = callerArguments(process.argv.slice(2));
  passStandardStreams();
  process.exit(await runCommandLine([...words]));
}

main();
