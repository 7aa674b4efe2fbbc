/** Signals as the kernel has them (sigset_t). */
export function signalSet(signals: readonly number[]): bigint {
  return signals.reduce((set, signal) => set | (1n << BigInt(signal - 1)), 0n);
}
