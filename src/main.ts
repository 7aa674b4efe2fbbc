import { runCommandLine } from "./cli";

function main(): void {
  runCommandLine(process.argv.slice(2)).then((status) => process.exit(status));
}

main();
