import { runCommandLine } from "./cli";
import { passStandardStreams } from "./linux/standard-streams";

async function main(): Promise<void> {
  passStandardStreams();
  process.exit(await runCommandLine(process.argv.slice(2)));
}

main();
