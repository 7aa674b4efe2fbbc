// The interpreter of a program of rows (src/linux/steps/interpreter-code.ts), on x86-64.
// Its first instruction is not here: mov $DATA,%r12d, with the address of the program's data.
  mov %rsp,(%r12)
  add $16,%r12
row:
  mov 96(%r12),%ecx
  mov $11,%edx
operand:
  mov (%r12,%rdx,8),%rax
  bt %edx,%ecx
  jnc push
  mov (%rax),%rax
push:
  push %rax
  dec %edx
  jnz operand
  mov (%r12),%rax
  pop %rdi
  pop %rsi
  pop %rdx
  pop %r10
  pop %r8
  pop %r9
  pop %r13
  pop %r14
  pop %rbx
  pop %r12
  pop %r15
  test %rax,%rax
  js special
  syscall
result:
  mov %rax,(%rbx)
  cmp %r13,%rax
  jl other
  cmp %r14,%rax
  jle row
other:
  mov %r15,%r12
  jmp row
special:
  inc %rax
  jz sum
  inc %rax
  jz mask
  inc %rax
  jz rotate
  inc %rax
  jnz walk
  mov (%rdi),%rax
  jmp result
sum:
  lea (%rdi,%rsi),%rax
  sub %rdx,%rax
  jmp result
mask:
  mov %rdi,%rax
  and %rsi,%rax
  jmp result
rotate:
  mov %rdi,%rax
  mov %esi,%ecx
  ror %cl,%rax
  jmp result
walk:
  mov %rdi,%r12
