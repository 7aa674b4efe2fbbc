import { tryReadText } from "../../../linux/file/file";

/** What machines need of a distribution. */
type Need = "qemu" | "kernel" | "virtiofsd";

interface Distribution {
  /** What comes before the packages. */
  install: string;
  packages: Readonly<Record<Need, string>>;
  /** Packages that have a kernel for machines, for `machine setup --download`; only of distributions with apt. */
  downloads?: readonly string[];
}

/** By ID and ID_LIKE of os-release(5). */
const DISTRIBUTIONS: Readonly<Record<string, Distribution>> = {
  debian: {
    install: "apt-get install --no-install-recommends",
    packages: { qemu: "qemu-system-x86", kernel: "linux-image-amd64", virtiofsd: "virtiofsd" },
    downloads: ["linux-image-amd64", "linux-image-cloud-amd64"],
  },
  ubuntu: {
    install: "apt-get install --no-install-recommends",
    packages: { qemu: "qemu-system-x86", kernel: "linux-image-virtual", virtiofsd: "virtiofsd" },
    downloads: ["linux-image-virtual", "linux-image-generic"],
  },
  fedora: {
    install: "dnf install",
    packages: { qemu: "qemu-system-x86-core", kernel: "kernel-core", virtiofsd: "virtiofsd" },
  },
  rhel: {
    install: "dnf install",
    packages: { qemu: "qemu-kvm-core", kernel: "kernel-core", virtiofsd: "virtiofsd" },
  },
  arch: {
    install: "pacman -S",
    packages: { qemu: "qemu-system-x86", kernel: "linux", virtiofsd: "virtiofsd" },
  },
  alpine: {
    install: "apk add",
    packages: { qemu: "qemu-system-x86_64", kernel: "linux-virt", virtiofsd: "virtiofsd" },
  },
  suse: {
    install: "zypper install",
    packages: { qemu: "qemu-x86", kernel: "kernel-default", virtiofsd: "virtiofsd" },
  },
};

/** Values of os-release(5) may be in quotation marks. */
function osReleaseField(text: string, name: string): string[] {
  const [, value = ""] = new RegExp(`^${name}=["']?([^"'\\n]*)`, "m").exec(text) ?? [];
  return value.split(" ").filter((word) => word !== "");
}

/** The distribution that os-release(5) names: by its own name, or by those of which it says that it is like them. */
export function distributionOf(osRelease: string): Distribution | undefined {
  const names = [...osReleaseField(osRelease, "ID"), ...osReleaseField(osRelease, "ID_LIKE")];
  return names.map((name) => DISTRIBUTIONS[name]).find((found) => found !== undefined);
}

function thisDistribution(): Distribution | undefined {
  return distributionOf(tryReadText("/etc/os-release") ?? tryReadText("/usr/lib/os-release") ?? "");
}

/** The line that installs what is missing. */
export function installLine(...needs: readonly Need[]): string {
  const distribution = thisDistribution();
  if (distribution === undefined) return `install ${needs.join(" and ")}`;
  return [distribution.install, ...needs.map((need) => distribution.packages[need])].join(" ");
}

/** Packages that `apt-get download` has a kernel from. */
export function downloadablePackages(): readonly string[] {
  return thisDistribution()?.downloads ?? [];
}
