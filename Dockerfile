# The production dependencies. better-sqlite3 brings a prebuilt binary; where it has none it is compiled.
FROM node:20-slim AS dependencies
RUN apt-get update \
  && apt-get install -y --no-install-recommends python3 make g++ \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund

# The compiled service. The compiler needs types only, so no install script has to run.
FROM node:20-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts ./scripts
COPY src ./src
RUN npm run build

FROM node:20-slim
ENV NODE_ENV=production \
  DATA_DIR=/data
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY package.json LICENSE ./
# A volume that is made from this folder takes over its owner.
RUN mkdir /data && chown node:node /data
VOLUME /data
USER node
# HOST is not set here: to open the service is the decision of who runs it, and takes API_KEYS_FILE or OIDC_ISSUER.
EXPOSE 3000
# With a certificate it speaks TLS, to a name that the certificate need not have.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "process.env.NODE_TLS_REJECT_UNAUTHORIZED = 0; fetch(`http${process.env.HTTP_TLS_CERT_FILE ? 's' : ''}://127.0.0.1:${process.env.PORT || 3000}/health/live`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# The flags are those of `npm start`.
CMD ["node", "--max-semi-space-size=192", "dist/main.js"]
