/** The name of the container's first process until it executes the program: so `state` tells created from running. */
export const STAGE_NAME = "hako:[init]";
