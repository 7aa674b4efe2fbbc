/** The name of the container's first process until it executes the program: so `state` tells created from running. */
export const STAGE_NAME = "hako:[init]";
/** The name of a process that begins a procfs in a pid namespace which it joins. */
export const OPENER_NAME = "hako:[procfs]";
