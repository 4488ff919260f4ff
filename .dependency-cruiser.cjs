/** Imports point inwards: adapters → application → replica. */
module.exports = {
  forbidden: [
    {
      name: 'replica-is-pure',
      comment: 'The core is functions over data: it imports itself and nothing else, not even Node.',
      severity: 'error',
      from: { path: '^src/replica/' },
      to: { pathNot: '^src/replica/' },
    },
    {
      name: 'application-knows-only-the-core',
      comment: 'Use cases and ports import the core, themselves and Node; no adapter, no framework.',
      severity: 'error',
      from: { path: '^src/application/' },
      to: {
        pathNot: ['^src/(application|replica)/', '^node_modules/(lru-cache|fast-json-patch)/'],
        dependencyTypesNot: ['core'],
      },
    },
    {
      name: 'adapters-do-not-know-each-other',
      comment:
        'An adapter imports its own folder, the ports and the core; only the composition root joins them.',
      severity: 'error',
      from: { path: '^src/adapters/([^/]+)/' },
      to: { path: '^src/adapters/([^/]+)/', pathNot: '^src/adapters/$1/' },
    },
    {
      name: 'only-the-root-composes',
      severity: 'error',
      from: { path: '^src/(adapters|observability|config)/' },
      to: { path: '^src/((main|app\\.module|read-side\\.module|following)\\.ts$|open-|cli/|read-side/)' },
    },
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
