# syntax=docker/dockerfile:1
FROM node:24.11.1-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund

FROM node:24.11.1-bookworm-slim
# What scripts of stages lean on most; whoever needs more builds an image from this one.
RUN apt-get update \
  && apt-get install -y --no-install-recommends bash ca-certificates git tini \
  && rm -rf /var/lib/apt/lists/* \
  && install -d -o node -g node /data
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY bin ./bin
COPY src ./src
COPY migrations ./migrations
COPY examples ./examples
ENV NODE_ENV=production \
  MILLRACE_DATA=/data \
  MILLRACE_HEALTH_PORT=8081
USER node
VOLUME /data
# Of a process with the API it is the API's port that answers.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "Promise.any([8080,8081].map(async p=>{if(!(await fetch(`http://127.0.0.1:${p}/health/ready`)).ok)throw p})).catch(()=>process.exit(1))"]
# Scripts of stages may leave orphans behind, which the first process has to reap.
ENTRYPOINT ["tini", "--", "node", "src/main.ts"]
CMD ["start"]
