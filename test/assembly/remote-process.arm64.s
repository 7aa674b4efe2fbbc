// The program of a remote process (src/linux/remote/remote-code.ts) up to "child", on arm64.
// Its first instruction is not here: movz x4,#FD, with the number of the shared range's descriptor.
  movz x0,#0x1000,lsl #16
  mov x1,#0x1000000
  mov x2,#3
  mov x3,#0x11
  mov x5,#0
  mov x8,#222
  svc #0
  movz x19,#0x1000,lsl #16
  mov w20,#0
wait:
  ldar w0,[x19]
  cmp w0,w20
  b.ne call
  mov x0,x19
  mov x1,#0
  mov w2,w20
  mov x9,#1
  stp x9,xzr,[sp,#-16]!
  mov x3,sp
  mov x8,#98
  svc #0
  add sp,sp,#16
  cmn x0,#110
  b.ne wait
  ldr w0,[x19,#112]
  cbz w0,wait
  stp x0,xzr,[sp,#-16]!
  stp xzr,xzr,[sp,#-16]!
  add x0,sp,#16
  mov x1,#1
  mov x2,sp
  mov x3,#0
  mov x4,#0
  mov x8,#73
  svc #0
  ldr x0,[sp,#16]
  add sp,sp,#32
  tbz x0,#52,wait
  b end
call:
  mov w20,w0
  ldp x8,x0,[x19,#16]
  ldp x1,x2,[x19,#32]
  ldp x3,x4,[x19,#48]
  ldr x5,[x19,#64]
  tbnz x8,#63,special
  svc #0
answer:
  str x0,[x19,#72]
  add x0,x19,#4
  stlr w20,[x0]
  mov x1,#1
  mov x2,#1
  mov x8,#98
  svc #0
  b wait
special:
  adds x8,x8,#1
  b.eq walk
  adds x8,x8,#1
  b.eq birth
  adds x8,x8,#1
  b.eq spawn
  adds x8,x8,#1
  b.eq become
  adds x8,x8,#1
  b.ne interpret
  mov x24,#1
  b begin
become:
  mov x9,x0
  b child
interpret:
  mov x9,x0
  // behind the walker, which has 100 bytes
  b child+100
walk:
  mov x24,#0
begin:
  mov x21,x0
  mov x22,x1
  mov x23,#0
next:
  cmp x23,x22
  b.ge over
  ldp x8,x0,[x21]
  ldp x1,x2,[x21,#16]
  ldp x3,x4,[x21,#32]
  ldr x5,[x21,#48]
  svc #0
  str x0,[x19,#80]
  ldp x6,x7,[x21,#56]
  cmp x0,x6
  b.lt over
  cmp x0,x7
  b.gt over
  add x23,x23,#1
  add x21,x21,#72
  b next
over:
  cbz x24,told
  cmp x23,x22
  b.lt told
  ldp x8,x0,[x19,#40]
  ldr x1,[x19,#56]
  svc #0
  cbz x0,last
  str x0,[x19,#80]
  tbnz x0,#63,told
  mov x0,x23
  b leave
last:
  ldr x9,[x19,#64]
  b child
told:
  mov x0,x23
  b answer
birth:
  mov x8,x0
  mov x0,x1
  mov x1,x2
  svc #0
  tbnz x0,#63,answer
  cbz x0,born
leave:
  str x0,[x19,#72]
  add x0,x19,#4
  stlr w20,[x0]
  mov x1,#1
  mov x2,#1
  mov x8,#98
  svc #0
end:
  mov x0,#0
  mov x8,#94
  svc #0
born:
  mov x0,#1
  mov x1,#9
  mov x8,#167
  svc #0
  b wait
spawn:
  mov x21,x3
  mov x8,x0
  mov x0,x1
  mov x1,x2
  svc #0
  cbnz x0,answer
  mov x9,x21
child:
