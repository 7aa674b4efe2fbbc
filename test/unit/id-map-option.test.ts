import { describe, expect, test } from "bun:test";
import { idMapsOfOption } from "../../src/oci/id-map-option";
import { planOf } from "../../src/oci/mount-options";

const CONTAINER = {
  uidMappings: [
    { containerID: 0, hostID: 0, size: 1 },
    { containerID: 1, hostID: 2, size: 1000 },
  ],
  gidMappings: [{ containerID: 0, hostID: 100_000, size: 10 }],
};

describe("crun's idmap with a mapping of its own", () => {
  test("ranges of both kinds", () => {
    expect(idMapsOfOption("uids=0-1-10#10-11-10;gids=0-100-10", {})).toEqual({
      uidMappings: [
        { containerID: 0, hostID: 1, size: 10 },
        { containerID: 10, hostID: 11, size: 10 },
      ],
      gidMappings: [{ containerID: 0, hostID: 100, size: 10 }],
    });
  });
  test("with @ the second id is the container's", () => {
    expect(idMapsOfOption("gids=@0-3-2;uids=@1-3-10", CONTAINER)).toEqual({
      uidMappings: [{ containerID: 1, hostID: 4, size: 10 }],
      gidMappings: [{ containerID: 0, hostID: 100_003, size: 2 }],
    });
  });
  test.each([
    ["uids=0-1-10", "both are needed"],
    ["uids=0-1-10;gids=0-1-10;uids=0-1-10", "expected uids=FROM-TO-SIZE"],
    ["uids=0-1-10;gids=0-1-10;sids=0-1-10", "expected uids=FROM-TO-SIZE"],
    ["0-1-10", "expected uids=FROM-TO-SIZE"],
    ["uids=0-1;gids=0-1-10", '"0-1": expected FROM-TO-SIZE'],
    ["uids=;gids=0-1-10", '"": expected FROM-TO-SIZE'],
    ["uids=0-1-0;gids=0-1-10", '"0-1-0": expected FROM-TO-SIZE'],
    ["uids=0-1-10#;gids=0-1-10", '"": expected FROM-TO-SIZE'],
    ["uids=-1-1-10;gids=0-1-10", "expected FROM-TO-SIZE"],
    ["uids=@0-5000-1;gids=0-1-10", "5000 is not mapped"],
    ["uids=@0-0-2;gids=0-1-10", "goes on where another range"],
  ])("%s", (text, wrong) => {
    expect(idMapsOfOption(text, CONTAINER)).toContain(wrong);
  });
  test("is an option of the mount, not of its file system", () => {
    expect(planOf(["rbind", "ridmap=uids=0-1-1;gids=0-1-1"])).toMatchObject({
      idMap: "tree",
      idMaps: "uids=0-1-1;gids=0-1-1",
      data: [],
    });
    expect(planOf(["bind", "idmap="])).toMatchObject({ idMap: "mount", idMaps: undefined, data: [] });
  });
});
