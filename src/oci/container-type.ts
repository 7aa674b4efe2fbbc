export function sandboxOf(annotations: Record<string, string>): string | undefined {
  return annotations["io.kubernetes.cri.sandbox-id"];
}
