// A signal handler that writes the signal's number to a pipe (src/linux/attendant/signal-recorder.ts), and its way back, on x86-64.
// Its first instruction is not here: mov $FD,%esi, with the number of the pipe's descriptor.
  push %rdi
  mov %esi,%edi
  mov %rsp,%rsi
  mov $8,%edx
  mov $1,%eax
  syscall
  pop %rdi
  ret
back:
  mov $15,%eax
  syscall
