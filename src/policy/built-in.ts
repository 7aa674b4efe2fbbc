import { HELD } from "../changes/acting-files";
import type { PolicyDocument } from "./policy";

/** Keys, tokens and passwords, where programs keep them. */
const SECRETS: readonly string[] = [
  ...[
    "~/.ssh",
    "~/.gnupg",
    "$GNUPGHOME",
    "~/.password-store",
    "$PASSWORD_STORE_DIR",
    "~/.local/share/keyrings",
  ],
  ...["~/.aws", "$AWS_SHARED_CREDENTIALS_FILE", "$AWS_CONFIG_FILE", "~/.azure", "$AZURE_CONFIG_DIR"],
  ...["~/.config/gcloud", "$CLOUDSDK_CONFIG", "$GOOGLE_APPLICATION_CREDENTIALS", "~/.oci", "~/.config/doctl"],
  ...["~/.kube", "$KUBECONFIG", "~/.docker", "$DOCKER_CONFIG", "~/.config/containers", "$REGISTRY_AUTH_FILE"],
  ...[
    "~/.netrc",
    "$NETRC",
    "~/.npmrc",
    "$NPM_CONFIG_USERCONFIG",
    "~/.yarnrc.yml",
    "~/.pypirc",
    "~/.gem/credentials",
  ],
  ...[
    "~/.cargo/credentials",
    "~/.cargo/credentials.toml",
    "~/.m2/settings.xml",
    "~/.gradle/gradle.properties",
  ],
  ...["~/.config/gh", "$GH_CONFIG_DIR", "~/.config/glab-cli", "~/.config/hub", "~/.git-credentials"],
  ...["~/.config/git/credentials", "~/.config/op", "~/.config/rclone", "~/.config/sops", "~/.config/age"],
  ...[
    "~/.terraform.d",
    "~/.vault-token",
    "~/.pgpass",
    "~/.my.cnf",
    "~/.config/hcloud",
    "~/.config/fly",
    "~/.fly",
  ],
  // of the machine's, which root could read
  ...["/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers", "/etc/sudoers.d"],
  ...[
    "/etc/ssh/ssh_host_*_key",
    "/etc/ssl/private",
    "/etc/kubernetes",
    "/var/lib/kubelet",
    "/etc/NetworkManager",
  ],
];

/** Sockets of who would do what they are asked, with their rights. */
const SOCKETS: readonly string[] = [
  ...[
    "/run/docker.sock",
    "/run/containerd",
    "/run/podman",
    "/run/crio",
    "/run/buildkit",
    "/run/dbus",
    "/run/user",
  ],
  ...["/run/systemd/private", "/run/snapd.socket", "/run/libvirt", "$XDG_RUNTIME_DIR", "$SSH_AUTH_SOCK"],
];

/** Browsers' profiles, mail, and what was typed. */
const PRIVATE: readonly string[] = [
  ...[
    "~/.mozilla",
    "~/.config/google-chrome",
    "~/.config/chromium",
    "~/.config/BraveSoftware",
    "~/.config/vivaldi",
  ],
  ...["~/.config/microsoft-edge", "~/.config/opera", "~/snap/firefox", "~/snap/chromium", "~/.var/app"],
  ...["~/.thunderbird", "~/.config/Signal", "~/.config/Slack", "~/.config/discord"],
  ...["~/.*_history", "~/.local/share/fish", "~/.local/state/bash", "~/.lesshst", "~/.viminfo", "$HISTFILE"],
];

/** Of a project: what its programs are given, and nobody else should know. `.env.example` and its like are for reading. */
const PROJECT_SECRETS = [
  ".env",
  ".env.local",
  ".env.*.local",
  ".env.development",
  ".env.staging",
  ".env.production",
];

/** The policies that have a name. */
export const BUILT_IN = {
  default: { hide: [...SECRETS, ...SOCKETS] },
  build: { extends: "default", write: ["."], protect: [...HELD] },
  agent: { extends: "build", hide: [...PRIVATE, ...PROJECT_SECRETS] },
} as const satisfies Record<string, PolicyDocument>;

export type BuiltInName = keyof typeof BUILT_IN;

export function isBuiltIn(name: string): name is BuiltInName {
  return Object.hasOwn(BUILT_IN, name);
}
