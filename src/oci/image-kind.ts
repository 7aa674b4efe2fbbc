/** The words before an image's path, as of skopeo and podman: "oci:DIR[:TAG]". */
export const IMAGE_KIND = /^(oci|oci-archive|docker-archive):(.*)$/s;
