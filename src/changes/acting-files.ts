/**
 * Files that somebody's tools read or execute without being asked to. Who reviews changes sees these first; what of a project nobody writes by their
 * work is protected by policies (`HELD`).
 *
 * A path is one of a file, or of a directory with all that is in it: an absolute one, or the end of any. `*` is any number of letters of a name, two
 * stars any number of directories, `{a,b}` either, `[ab]` one of these letters.
 */
export interface ActingFiles {
  who: string;
  /** Words. */
  paths: string;
  /** Not what is below a directory of that name. */
  itself?: true;
  /** Not in a directory of this name. */
  outside?: string;
  /** Paths of a project that policies protect. */
  held?: string;
}

export const GIT_CONFIG = ".git/config";

/** The first that fits says who. */
export const ACTING_FILES: readonly ActingFiles[] = [
  {
    who: "git executes it",
    paths: `.git/hooks .git/{modules,worktrees}/**/hooks *.git/hooks git-core/templates`,
    held: `.git/hooks`,
  },
  {
    who: "git takes commands from it",
    paths: `
      *.git/{config,config.worktree,commondir,info/attributes}
      .git/{modules,worktrees}/**/{config,config.worktree,commondir,info/attributes} .gitconfig .config/git
      .gitattributes .gitmodules /etc/git{config,attributes} .hgrc .hg/hgrc .svn/hooks .jj/repo/config.toml
      .config/jj .config/{gh,lazygit}`,
    held: `${GIT_CONFIG} .git/config.worktree .git/commondir .git/modules .git/worktrees`,
  },
  {
    who: "it says where git has its hooks",
    paths: `.git`,
    itself: true,
  },
  {
    // a bare one, of any name: git goes by its settings wherever it is called below it (safe.bareRepository of git-config(1))
    who: "git takes what it is in for a repository",
    paths: `HEAD`,
    itself: true,
    outside: ".git",
  },
  {
    who: "git hooks",
    paths: `
      .husky .githooks .git-hooks .pre-commit-{config,hooks}.yaml .overcommit.yml {,.}lefthook{,-local}.{yml,yaml,json,toml}
      .lintstagedrc* .simple-git-hooks.* .huskyrc*`,
    held: `.husky .githooks`,
  },
  {
    who: "editors take tasks from it",
    paths: `
      .vscode .vscode-server .idea .fleet .zed .vs .run .helix .nova
      .config/{Code*,VSCodium,Cursor,zed,helix,JetBrains,sublime-text} *.code-workspace *.sublime-{project,build}`,
    held: `.vscode .idea .zed .fleet`,
  },
  {
    who: "editors execute it",
    paths: `
      .vim .vimrc .gvimrc .ideavimrc .exrc .nvimrc .nvim.lua .vimspector.json .dir-locals{,-2}.el .emacs .emacs.d .doom.d
      .config/{nvim,vim,emacs,doom,kak,micro} .nanorc .lvimrc .kakrc /etc/{vim,emacs} /usr/share/{vim,nvim,emacs}`,
    held: `.exrc .nvimrc .nvim.lua`,
  },
  {
    who: "development containers take commands from it",
    paths: `.devcontainer .devcontainer.json .gitpod.yml {,.}devfile.yaml .replit devbox.json`,
    held: `.devcontainer .devcontainer.json`,
  },
  {
    who: "agents take commands from it",
    paths: `
      .claude .claude.json .cursor .codex .gemini .continue .aider* .windsurf .codeium .roo .roomodes .kiro .amazonq .opencode
      opencode.json{,c} .goose .junie .trae .mcp.json mcp.json mcp_config.json claude_desktop_config.json
      .config/{Claude,goose,opencode}`,
    held: `
      .mcp.json .claude/settings.json .claude/settings.local.json .claude/hooks .claude/commands .claude/agents .cursor .codex
      .gemini`,
  },
  {
    who: "agents take orders from it",
    paths: `
      {AGENTS,AGENT,CLAUDE,CLAUDE.local,GEMINI,QWEN,SKILL}.md .cursorrules .windsurfrules .clinerules .rules .goosehints
      .github/{copilot-instructions.md,instructions,prompts,chatmodes}`,
  },
  {
    who: "builds execute it",
    paths: `
      {GNUm,m,M}akefile *.mk CMakeLists.txt CMake*Presets.json *.cmake {,.}[Jj]ustfile [Tt]askfile{,.dist}.{yml,yaml}
      [Rr]akefile *.rake SCons{truct,cript} meson.build build.ninja configure configure.{ac,in} autogen.sh BUILD{,.bazel}
      WORKSPACE{,.bazel} MODULE.bazel *.bzl .bazelrc Earthfile magefile.go build.zig Package.swift mix.exs rebar.config
      project.clj build.sbt build.sc flake.nix {shell,default}.nix Vagrantfile Procfile* Tiltfile Snakefile dodo.py tasks.py
      fabfile.py noxfile.py wscript Guardfile Dangerfile build.rs rust-toolchain{,.toml} {build,settings,init}.gradle{,.kts}
      gradlew{,.bat} mvnw{,.cmd} gradle/wrapper gradle.properties .gradle/init.d pom.xml .mvn build.xml *.{cs,fs,vb}proj
      Directory.Build.{props,targets} *.targets setup.{py,cfg} pyproject.toml conftest.py tox.ini pytest.ini Gruntfile.*
      gulpfile.* Jakefile* lerna.json nx.json turbo.json`,
  },
  {
    who: "package managers take commands from it",
    paths: `
      package.json .npmrc .yarnrc{,.yml} .yarn .pnpmfile.{cjs,mjs} pnpm-workspace.yaml bunfig.toml deno.json{,c}
      .cargo/{config,config.toml,env} Cargo.toml pip.conf .config/pip uv.toml .condarc environment.yml .pypirc Pipfile Gemfile
      gems.rb *.gemspec .gemrc .bundle/config composer.json .config/composer .m2/settings.xml .config/go/env go.work
      .config/{nix,NuGet} [Nn]u[Gg]et.[Cc]onfig .Brewfile Brewfile Podfile`,
  },
  {
    who: "tools execute it",
    paths: `*.config.{js,cjs,mjs,ts,cts,mts} .{eslint,prettier,babel,mocha,swc}rc*`,
  },
  {
    who: "shells take variables from it",
    paths: `.envrc .direnvrc .config/{direnv,mise} .env .env.* .tool-versions .autoenv* {,.}mise{,.local}.toml .mise .nvmrc .asdfrc`,
    held: `.envrc`,
  },
  {
    who: "CI executes it",
    paths: `
      .github/{workflows,actions} .circleci .buildkite .{forgejo,gitea} .gitlab-ci.yml .gitlab Jenkinsfile*
      azure-pipelines*.yml .azure-pipelines .travis.yml .drone.yml .woodpecker{,.yml} bitbucket-pipelines.yml {,.}appveyor.yml
      cloudbuild.yaml .cirrus.yml .semaphore .builds .build.yml .teamcity buildspec.yml codemagic.yaml wercker.yml`,
  },
  {
    who: "containers and deployments are made from it",
    paths: `
      Dockerfile* *.{D,d}ockerfile Containerfile* {,docker-}compose*.{yml,yaml} docker-bake.* netlify.toml vercel.json
      fly.toml render.yaml wrangler.{toml,json,jsonc} serverless.yml skaffold.yaml {,.}ansible.cfg .terraformrc
      .config/containers .docker .kube`,
  },
  {
    who: "shells and sessions execute it",
    paths: `
      .bash{rc,_profile,_login,_logout,_aliases,_completion} .bashrc.d .profile .login .logout
      .z{shrc,shenv,profile,login,logout} .zsh .oh-my-zsh .{c,tc,k,mk}shrc .inputrc .pam_environment
      .x{profile,initrc,sessionrc,session} .Xsession .Xresources .config/{fish,xonsh,nushell,elvish}
      /etc/{profile,profile.d,bash.bashrc,bashrc,bash_completion.d,zsh,zshrc,zshenv,fish,environment,skel,X11,xdg}
      /etc/update-motd.d /usr/share/{bash-completion,zsh,fish}`,
  },
  {
    who: "sessions execute it",
    paths: `
      .config/{autostart,systemd,environment.d,plasma-workspace,autostart-scripts,user-tmpfiles.d}
      .config/{sway,hypr,i3,awesome,openbox,bspwm,sxhkd,qtile,niri,river,waybar,mimeapps.list}
      .local/share/{systemd,applications,dbus-1,gnome-shell,nautilus,kio,kservices5} .xmonad NativeMessagingHosts
      native-messaging-hosts Desktop/*.desktop .kde/Autostart
      /usr/share/{applications,dbus-1,polkit-1,xsessions,wayland-sessions,gnome-shell}`,
  },
  {
    who: "programs execute it when they start",
    paths: `
      .gdbinit .gdbearlyinit .lldbinit .Rprofile .Renviron .irbrc .pryrc .psqlrc .ghci .sqliterc .perldb .pythonrc{,.py}
      .pdbrc{,.py} .ipython .jupyter .config/{gdb,ipython} .screenrc .tmux.conf
      .config/{tmux,kitty,wezterm,alacritty,ghostty,zellij} .wezterm.lua .mailcap .curlrc .wgetrc .ripgreprc .lessfilter
      .lesskey .mailrc .muttrc .procmailrc .forward .aws/config .my.cnf .config/{mpv,ranger,yazi,lf} .local/share/jupyter`,
  },
  {
    who: "it says who may log in, and as whom",
    paths: `.ssh .gnupg .rhosts .shosts .k5login`,
  },
  {
    who: "cron executes it",
    paths: `/etc/{cron*,anacrontab,at.*,incron.d} /var/spool/{cron,anacron,at,incron}`,
  },
  {
    who: "the system executes it at boot",
    paths: `
      /{etc,usr/lib,lib,usr/local/lib,run}/{systemd,udev,modules-load.d,modprobe.d,tmpfiles.d,sysusers.d,binfmt.d,sysctl.d}
      /etc/{rc*,init.d,init,inittab,xinetd.d,inetd.conf,sysctl.conf,modules,fstab,crypttab,grub.d,default,kernel}
      /etc/{initramfs-tools,dracut*,mkinitcpio*,runit,s6,openrc,acpi,network,NetworkManager,dhcp,ppp,logrotate.d}
      /etc/{docker,containers,libvirt,dbus-1,rsyslog*,apparmor*,selinux} /var/lib/systemd`,
  },
  {
    who: "it says who may do what",
    paths: `
      /etc/{passwd,shadow,group,gshadow,sudoers,sudoers.d,doas.conf,pam.d,pam.conf,security,polkit-1,login.defs,subuid,subgid,ssh,exports,krb5*}{,-}`,
  },
  {
    who: "all programs go by it",
    paths: `
      /etc/{ld.so.*,nsswitch.conf,hosts,resolv.conf,apt,dpkg,yum.repos.d,dnf,pki,ssl,ca-certificates*,alternatives,python3*,perl}`,
  },
  {
    who: "python executes it",
    paths: `*.pth {site,user}customize.py`,
  },
  {
    who: "a program that is found by its name",
    paths: `{/,/usr/,/usr/local/}{bin,sbin} bin/* /opt/*/bin .{pyenv,rbenv,asdf}/shims node_modules/.bin`,
  },
  {
    who: "programs load it",
    paths: `/{,usr/}{,local/}{lib,lib32,lib64,libexec}`,
  },
  {
    who: "the machine boots from it",
    paths: `/boot`,
  },
];

/** What of a project policies protect. */
export const HELD: readonly string[] = ACTING_FILES.flatMap(({ held = "" }) => wordsOf(held));

export function wordsOf(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}
