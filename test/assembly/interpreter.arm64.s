// The interpreter of a program of rows (src/linux/steps/interpreter-code.ts), on arm64.
// Its first two instructions are not here: movz and movk x9, with the address of the program's data.
  mov x10,sp
  str x10,[x9],#16
row:
  ldr x10,[x9,#96]
  mov x11,#11
operand:
  ldr x12,[x9,x11,lsl #3]
  lsr x13,x10,x11
  tbz x13,#0,push
  ldr x12,[x12]
push:
  str x12,[sp,#-16]!
  subs x11,x11,#1
  b.ne operand
  ldr x8,[x9]
  ldr x0,[sp],#16
  ldr x1,[sp],#16
  ldr x2,[sp],#16
  ldr x3,[sp],#16
  ldr x4,[sp],#16
  ldr x5,[sp],#16
  ldr x6,[sp],#16
  ldr x7,[sp],#16
  ldr x10,[sp],#16
  ldr x9,[sp],#16
  ldr x11,[sp],#16
  tbnz x8,#63,special
  svc #0
result:
  str x0,[x10]
  cmp x0,x6
  b.lt other
  cmp x0,x7
  b.le row
other:
  mov x9,x11
  b row
special:
  adds x8,x8,#1
  b.eq sum
  adds x8,x8,#1
  b.eq mask
  adds x8,x8,#1
  b.eq rotate
  adds x8,x8,#1
  b.ne walk
  ldr x0,[x0]
  b result
sum:
  add x0,x0,x1
  sub x0,x0,x2
  b result
mask:
  and x0,x0,x1
  b result
rotate:
  ror x0,x0,x1
  b result
walk:
  mov x9,x0
