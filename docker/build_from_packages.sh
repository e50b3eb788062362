#!/usr/bin/env bash
# Builds both images and runs the demo in one where no registry of images can be reached, but those of packages can:
#
#   docker/build_from_packages.sh FOLDER [PIP_CONF]
#
# The Dockerfile is built as it is, by buildah; only its base is a stand-in, made of Debian's packages: Python is at
# /usr/bin there, not at /usr/local/bin. Needs root, some 25 GB in FOLDER, and the Debian packages mmdebstrap, buildah,
# podman, runc, netavark, aardvark-dns and iptables.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(realpath --canonicalize-missing "$1")
pip_conf=${2:-/dev/null}
store=(--root "$folder/images" --runroot "$folder/run" --storage-driver overlay)
# No more than there are here: inside of another container more would be refused.
files=$(ulimit -Hn) processes=$(cat /proc/sys/kernel/pid_max)
limits=(--ulimit "nofile=$files:$files" --ulimit "nproc=$processes:$processes")
base=docker.io/library/python:3.11-slim-bookworm

mkdir --parents "$folder"
if ! podman "${store[@]}" image exists "$base"; then
    mmdebstrap --quiet --variant=minbase --include=ca-certificates,python-is-python3,python3-venv bookworm \
        "$folder/base.tar"
    podman "${store[@]}" import --quiet "$folder/base.tar" "$base"
    rm "$folder/base.tar"
fi
for target in cpu cuda; do
    # Certificates that this machine trusts, in case its packages come through a proxy.
    buildah "${store[@]}" build --isolation chroot --network host --pull=never --format docker "${limits[@]}" \
        --volume /etc/ssl/certs:/etc/ssl/certs:ro --secret "id=pip,src=$pip_conf" \
        --layers --file docker/Dockerfile --ignorefile docker/Dockerfile.dockerignore \
        --target "$target" --tag "streammm:$target" .
done
podman "${store[@]}" images --filter reference=streammm
# As compose.yaml has it: not root, nothing to write to but /tmp, no capabilities, no network, bounded.
podman "${store[@]}" --cgroup-manager cgroupfs --runtime runc run --rm "${limits[@]}" --network none --read-only \
    --cap-drop ALL --security-opt no-new-privileges --tmpfs /tmp:size=512m,mode=1777 --shm-size 640m --memory 2g \
    --pids-limit 2048 streammm:cpu run --out - /opt/streammm/demo.mp4
