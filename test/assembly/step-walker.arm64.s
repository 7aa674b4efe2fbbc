// Walks the table whose address is in x9, and ends (src/linux/steps/clone-code.ts), on arm64.
  add x10,x9,#24
loop:
  ldp x8,x0,[x10]
  ldp x1,x2,[x10,#16]
  ldp x3,x4,[x10,#32]
  ldp x5,x6,[x10,#48]
  ldr x7,[x10,#64]
  svc #0
  cmp x0,x6
  b.lt fail
  cmp x0,x7
  b.gt fail
  ldr x11,[x9,#8]
  add x11,x11,#1
  str x11,[x9,#8]
  add x10,x10,#72
  b loop
fail:
  str x0,[x9,#16]
  ldr x0,[x9]
  add x1,x9,#8
  mov x2,#16
  mov x8,#64
  svc #0
  mov x0,#1
  mov x8,#94
  svc #0
