# n8n with the nodes of this repository. The build's folder is the repository's root, and its context `cams-relay` is the
# relay's image, which makes the nodes' catalog.
ARG N8N_VERSION=2.41.1

# hadolint ignore=DL3006
FROM cams-relay AS catalog
COPY scripts/catalog /scripts/catalog
RUN /opt/cams-relay/bin/python /scripts/catalog /tmp/catalog.json

FROM docker.io/library/node:24-slim AS nodes
WORKDIR /nodes
COPY n8n-nodes ./
COPY --from=catalog /tmp/catalog.json nodes/catalog.json
RUN npm ci --ignore-scripts --no-audit --no-fund \
 && npx n8n-node build \
 && npm pack --ignore-scripts --pack-destination /tmp \
 && mkdir /packed \
 && tar -xzf /tmp/n8n-nodes-cams-relay-*.tgz --strip-components=1 -C /packed

FROM docker.n8n.io/n8nio/n8n:${N8N_VERSION}
COPY --from=nodes /packed /opt/n8n-nodes-cams-relay
COPY examples/compose/n8n/with-nodes.sh /with-nodes.sh
ENTRYPOINT ["tini", "--", "sh", "/with-nodes.sh"]
