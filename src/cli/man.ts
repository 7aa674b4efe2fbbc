import { VERSION } from "../base/hako-version";
import type { Argument, Arguments } from "./arguments";
import type { Command } from "./command";
import type { NamedCommand } from "./find-command";
import { allCommands, descriptionOf, operandWords, spellings } from "./tables";

/** Text as roff takes it: no line begins a request, and a hyphen that is typed stays one. */
function escaped(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll(/^([.'])/gm, "\\&$1");
}

function flagEntry(name: string, argument: Argument): string {
  const names = spellings(name, argument).map((each) => `\\fB${escaped(each)}\\fR`);
  const hint = argument.type === "enum" ? argument.options?.join("|") : argument.valueHint;
  const value = argument.type === "boolean" ? "" : ` \\fI${escaped(hint ?? "VALUE")}\\fR`;
  const more = typeof argument.default === "string" ? ` (default ${argument.default})` : "";
  return `.TP\n${names.join(", ")}${value}\n${escaped(`${argument.description ?? ""}${more}`)}\n`;
}

function flagEntries(args: Arguments = {}): string {
  return Object.entries(args)
    .filter(([, argument]) => argument.type !== "positional")
    .map(([name, argument]) => flagEntry(name, argument))
    .join("");
}

function commandEntry({ path, command }: NamedCommand): string {
  const usage = ["hako", path, "[FLAGS]", ...operandWords(command)].join(" ");
  const examples = (command.examples ?? []).map((line) => `${escaped(line)}\n`).join(".br\n");
  return `.SS ${escaped(path)}\n${escaped(descriptionOf(command))}\n.PP\n\\fB${escaped(usage)}\\fR\n${flagEntries(command.args)}.PP\nExamples:\n.RS\n.nf\n${examples}.fi\n.RE\n`;
}

/** The manual page hako(1), made from the same tables as `--help`. */
export async function manualPage(program: Command): Promise<string> {
  const { groups, commands } = await allCommands(program);
  const shown = commands.filter(({ command }) => command.meta?.hidden !== true);
  const grouped = groups.map(
    ({ path, command }) => `.TP\n\\fB${escaped(path)}\\fR\n${escaped(descriptionOf(command))}\n`,
  );
  return `.TH HAKO 1 "" "hako ${escaped(VERSION)}" "User Commands"
.SH NAME
hako \\- run OCI containers, grouped in sandboxes
.SH SYNOPSIS
\\fBhako\\fR [\\fIGLOBAL FLAGS\\fR] \\fICOMMAND\\fR [\\fIFLAGS\\fR] [\\fIOPERANDS\\fR]
.SH DESCRIPTION
hako is an OCI container runtime with the command line of runc, crun and kata\\-runtime 1.x, for podman, docker, containerd
and buildah, and for shell scripts. There is no daemon.
.SH GLOBAL FLAGS
${flagEntries(program.args)}.SH COMMANDS
${shown.map(commandEntry).join("")}.SH GROUPS
${grouped.join("")}.SH EXIT STATUS
.TP
0
done
.TP
1
the command failed; one line on standard error says what, on what, why, and what to try
.TP
2
wrong usage
.TP
126, 127
run \\-\\-rootfs, netns exec: the program can't be executed, or doesn't exist
.TP
255
exec could not start its program
.PP
run without \\-\\-detach and exec exit with the program's own status, or 128 + N when signal N ended it.
.SH FILES
.TP
/run/hako
records of containers, unless \\-\\-root names another directory
.SH SEE ALSO
.BR podman (1),
.BR docker (1),
.BR runc (8)
`;
}
