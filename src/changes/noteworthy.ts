/** Files that somebody's tools read or execute without being asked to: who reviews changes wants to see these first. */

/** A path's end, and who acts on such a file. */
const ACTING: readonly (readonly [pattern: RegExp, who: string])[] = [
  [/\/\.git\/(.*\/)?hooks(\/|$)/, "git executes it"],
  [/\/\.git\/(.*\/)?(config|config\.worktree|info\/attributes)$/, "git takes commands from it"],
  [/\/\.git$/, "it says where git has its hooks"],
  [/\/(\.gitconfig|\.config\/git\/[^/]+|\.gitattributes|\.gitmodules)$/, "git takes commands from it"],
  [/\/(\.husky|\.githooks)(\/|$)|\/(\.pre-commit-config\.yaml|lefthook\.ya?ml)$/, "git hooks"],
  [/\/\.(vscode|idea|fleet|zed|vs)(\/|$)/, "editors take tasks from it"],
  [
    /\/(\.vimrc|\.exrc|\.nvimrc|\.dir-locals\.el|\.emacs|\.emacs\.d\/.*|\.config\/nvim\/.*)$/,
    "editors execute it",
  ],
  [/\.code-workspace$/, "editors take tasks from it"],
  [/\/\.devcontainer(\/|$)|\/\.devcontainer\.json$/, "editors take commands from it"],
  [
    /\/(\.claude|\.cursor|\.codex|\.gemini|\.continue|\.aider[^/]*|\.mcp\.json|mcp\.json)(\/|$)/,
    "agents take commands from it",
  ],
  [/\/(AGENTS|CLAUDE|GEMINI)\.md$|\/\.(cursorrules|windsurfrules)$/, "agents take orders from it"],
  [
    /\/(GNUm|m|M)akefile$|\.mk$|\/(CMakeLists\.txt|[Jj]ustfile|Taskfile\.ya?ml|Rakefile|SConstruct|meson\.build)$/,
    "builds execute it",
  ],
  [
    /\/(build\.rs|build\.gradle(\.kts)?|pom\.xml|setup\.py|setup\.cfg|pyproject\.toml|conftest\.py|tox\.ini|noxfile\.py)$/,
    "builds execute it",
  ],
  [
    /\/(package\.json|\.npmrc|\.yarnrc(\.yml)?|\.pnpmfile\.cjs|bunfig\.toml|\.cargo\/config(\.toml)?|deno\.jsonc?)$/,
    "package managers take commands from it",
  ],
  [/\/[^/]+\.config\.(js|cjs|mjs|ts|cts|mts)$/, "tools execute it"],
  [/\/(\.envrc|\.env|\.tool-versions|mise\.toml|\.mise\.toml|\.nvmrc)$/, "shells take variables from it"],
  [
    /\/(\.github\/(workflows|actions)|\.circleci|\.buildkite|\.forgejo|\.gitea)(\/|$)|\/(\.gitlab-ci\.yml|Jenkinsfile|azure-pipelines\.yml|\.travis\.yml|\.drone\.yml)$/,
    "CI executes it",
  ],
  [/\/(Dockerfile|Containerfile|compose\.ya?ml|docker-compose\.ya?ml)[^/]*$/, "containers are made from it"],
  [
    /\/\.(bashrc|bash_profile|bash_login|bash_logout|bash_aliases|profile|zshrc|zshenv|zprofile|zlogin|zlogout|cshrc|tcshrc|login|logout|kshrc|mkshrc|inputrc|xprofile|xsessionrc|xinitrc|pam_environment)$/,
    "shells and sessions execute it",
  ],
  [
    /\/\.config\/(fish|autostart|systemd|environment\.d|xonsh|nushell)(\/|$)|\/\.local\/share\/(systemd|applications|dbus-1)(\/|$)/,
    "sessions execute it",
  ],
  [/\/\.ssh(\/|$)|\/\.gnupg(\/|$)/, "it says who may log in, and as whom"],
  [
    /^\/etc\/(profile|profile\.d|bash\.bashrc|zsh|environment|skel|X11)(\/|$)|^\/etc\/(bashrc|zshrc|zshenv)$/,
    "shells and sessions execute it",
  ],
  [
    /^\/etc\/(cron[^/]*|anacrontab|at\.[^/]*)(\/|$)|^\/var\/spool\/(cron|anacron|at)(\/|$)/,
    "cron executes it",
  ],
  [
    /^\/(etc|usr\/lib|lib|usr\/local\/lib|run)\/(systemd|udev|modules-load\.d|modprobe\.d|tmpfiles\.d|sysusers\.d|binfmt\.d|sysctl\.d)(\/|$)|^\/etc\/(rc[^/]*|init\.d|init|inittab|xinetd\.d|inetd\.conf|sysctl\.conf)(\/|$)/,
    "the system executes it at boot",
  ],
  [
    /^\/etc\/(passwd|shadow|group|gshadow|sudoers|sudoers\.d|doas\.conf|pam\.d|pam\.conf|security|polkit-1|login\.defs|subuid|subgid|ssh)(\/|$)/,
    "it says who may do what",
  ],
  [
    /^\/etc\/(ld\.so\.[^/]*|nsswitch\.conf|hosts|resolv\.conf|apt|dpkg|yum\.repos\.d|dnf|pki|ssl|ca-certificates[^/]*|alternatives)(\/|$)/,
    "all programs go by it",
  ],
  [
    /^(\/usr(\/local)?)?\/(bin|sbin)(\/|$)|\/(\.local\/bin|bin|\.cargo\/bin|go\/bin|\.bun\/bin|\.deno\/bin)\/[^/]+$|\/node_modules\/\.bin\//,
    "a program that is found by its name",
  ],
  [/^\/(usr\/)?(local\/)?(lib|lib32|lib64|libexec)(\/|$)/, "programs load it"],
  [/^\/boot(\/|$)/, "the machine boots from it"],
  [/\/(\.pth|sitecustomize\.py|usercustomize\.py)$|\.pth$/, "python executes it"],
];

/** Who acts on a file at a path without being asked to; undefined if nobody is known. */
export function actsOn(path: string): string | undefined {
  return ACTING.find(([pattern]) => pattern.test(path))?.[1];
}

/** Whether a package.json is only different in what no package manager executes. */
export function hasSameScripts(one: string, other: string): boolean {
  return scriptsOf(one) === scriptsOf(other) && scriptsOf(one) !== undefined;
}

function scriptsOf(text: string): string | undefined {
  try {
    const { scripts, bin, main, exports, workspaces, dependencies, devDependencies, ...rest } = JSON.parse(
      text,
    ) as Record<string, unknown>;
    const { optionalDependencies, overrides, "lint-staged": staged, husky, "simple-git-hooks": hooks } = rest;
    const executed = [scripts, bin, main, exports, workspaces, dependencies, devDependencies];
    return JSON.stringify([...executed, optionalDependencies, overrides, staged, husky, hooks]);
  } catch {
    return undefined;
  }
}
