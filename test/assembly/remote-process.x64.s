# The program of a remote process (src/linux/remote/remote-code.ts) up to "child", on x86-64.
# Its first instruction is not here: mov $FD,%r8d, with the number of the shared range's descriptor.
  mov $0x10000000,%edi
  mov $0x1000000,%esi
  mov $3,%edx
  mov $0x11,%r10d
  xor %r9d,%r9d
  mov $9,%eax
  syscall
  mov $0x10000000,%r12d
  xor %ebx,%ebx
wait:
  mov (%r12),%eax
  cmp %ebx,%eax
  jne call
  mov %r12,%rdi
  xor %esi,%esi
  mov %ebx,%edx
  push $0
  push $1
  mov %rsp,%r10
  mov $202,%eax
  syscall
  add $16,%rsp
  cmp $-110,%rax
  jne wait
  mov 112(%r12),%edi
  test %edi,%edi
  jz wait
  push %rdi
  mov %rsp,%rdi
  mov $1,%esi
  xor %edx,%edx
  mov $7,%eax
  syscall
  pop %rdi
  bt $52,%rdi
  jnc wait
  jmp end
call:
  mov %eax,%ebx
  mov 16(%r12),%rax
  mov 24(%r12),%rdi
  mov 32(%r12),%rsi
  mov 40(%r12),%rdx
  mov 48(%r12),%r10
  mov 56(%r12),%r8
  mov 64(%r12),%r9
  test %rax,%rax
  js special
  syscall
answer:
  mov %rax,72(%r12)
  mov %ebx,4(%r12)
  lea 4(%r12),%rdi
  mov $1,%esi
  mov $1,%edx
  mov $202,%eax
  syscall
  jmp wait
special:
  inc %rax
  jz walk
  inc %rax
  jz birth
  inc %rax
  jz spawn
  inc %rax
  jz become
  inc %rax
  jnz interpret
  mov $1,%ebp
  jmp begin
become:
  mov %rdi,%r12
  jmp child
interpret:
  mov %rdi,%r12
  # behind the walker, which has 95 bytes
  jmp child+95
walk:
  xor %ebp,%ebp
begin:
  mov %rdi,%r14
  mov %rsi,%r13
  xor %r15d,%r15d
next:
  cmp %r13,%r15
  jge over
  mov (%r14),%rax
  mov 8(%r14),%rdi
  mov 16(%r14),%rsi
  mov 24(%r14),%rdx
  mov 32(%r14),%r10
  mov 40(%r14),%r8
  mov 48(%r14),%r9
  syscall
  mov %rax,80(%r12)
  cmp 56(%r14),%rax
  jl over
  cmp 64(%r14),%rax
  jg over
  inc %r15
  add $72,%r14
  jmp next
over:
  test %ebp,%ebp
  jz told
  cmp %r13,%r15
  jl told
  mov 40(%r12),%rax
  mov 48(%r12),%rdi
  mov 56(%r12),%rsi
  syscall
  test %rax,%rax
  jz last
  mov %rax,80(%r12)
  js told
  mov %r15,%rax
  jmp leave
last:
  mov 64(%r12),%r12
  jmp child
told:
  mov %r15,%rax
  jmp answer
birth:
  mov %rdi,%rax
  mov %rsi,%rdi
  mov %rdx,%rsi
  syscall
  test %rax,%rax
  js answer
  jz born
leave:
  mov %rax,72(%r12)
  mov %ebx,4(%r12)
  lea 4(%r12),%rdi
  mov $1,%esi
  mov $1,%edx
  mov $202,%eax
  syscall
end:
  xor %edi,%edi
  mov $231,%eax
  syscall
born:
  mov $1,%edi
  mov $9,%esi
  mov $157,%eax
  syscall
  jmp wait
spawn:
  mov %r10,%r14
  mov %rdi,%rax
  mov %rsi,%rdi
  mov %rdx,%rsi
  syscall
  test %rax,%rax
  jnz answer
  mov %r14,%r12
child:
