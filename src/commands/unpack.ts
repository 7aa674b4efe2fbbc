import { defineCommand } from "../cli/command";

export default defineCommand({
  args: {
    image: {
      type: "positional",
      required: true,
      description: "FILE.tar, oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:TAG]",
    },
    directory: { type: "positional", required: true, description: "the bundle; missing or empty" },
  },
  examples: ["hako unpack image.tar web && hako run --bundle web web"],
  async run({ args }) {
    const { unpackBundle } = await import("../container/script/unpack-bundle");
    await unpackBundle(args.image, args.directory);
  },
});
