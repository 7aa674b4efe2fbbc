// Walks the table whose address is in r12, and ends (src/linux/steps/clone-code.ts), on x86-64.
  lea 24(%r12),%rbx
loop:
  mov (%rbx),%rax
  mov 8(%rbx),%rdi
  mov 16(%rbx),%rsi
  mov 24(%rbx),%rdx
  mov 32(%rbx),%r10
  mov 40(%rbx),%r8
  mov 48(%rbx),%r9
  syscall
  cmp 56(%rbx),%rax
  jl fail
  cmp 64(%rbx),%rax
  jg fail
  incq 8(%r12)
  add $72,%rbx
  jmp loop
fail:
  mov %rax,16(%r12)
  mov (%r12),%rdi
  lea 8(%r12),%rsi
  mov $16,%edx
  mov $1,%eax
  syscall
  mov $1,%edi
  mov $231,%eax
  syscall
