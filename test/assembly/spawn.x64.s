// Makes a child by clone3 (src/linux/steps/clone-code.ts), on x86-64; behind it comes the code that walks the child's table.
  push %r12
  push %rbx
  mov %rdi,%r12
  mov %rsi,%rdi
  mov %rdx,%rsi
  mov $435,%eax
  syscall
  test %rax,%rax
  jz child
  pop %rbx
  pop %r12
  ret
child:
