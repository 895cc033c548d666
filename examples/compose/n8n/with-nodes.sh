#!/bin/sh
# n8n loads nodes from its data folder, which is a volume: puts this image's version there, then starts n8n.
set -eu
package=n8n-nodes-cams-relay
modules=${N8N_USER_FOLDER:-$HOME}/.n8n/nodes/node_modules
mkdir -p "$modules"
rm -rf "${modules:?}/$package"
cp -R "${NODES_FOLDER:-/opt}/$package" "$modules/$package"
exec "${N8N_ENTRYPOINT:-/docker-entrypoint.sh}" "$@"
