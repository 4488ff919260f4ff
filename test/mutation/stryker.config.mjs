/** Mutation testing of the pure core: `npm run test:mutants`; docs/testing.md says how. */
export default {
  mutate: ['src/replica/**/*.ts'],
  testRunner: 'mocha',
  testRunnerNodeArgs: ['--import', './test/mutation/register.mjs'],
  mochaOptions: {
    // Examples before properties: most mutants end at the first example that meets them.
    spec: [
      'test/unit/replica/!(*.property).test.ts',
      'test/unit/application/convergence.test.ts',
      'test/unit/replica/*.property.test.ts',
    ],
  },
  coverageAnalysis: 'perTest',
  ignorePatterns: [
    '**',
    '!{src,schemas,test/fixtures,test/mutation,test/unit}/**',
    '!package.json',
    '!tsconfig.json',
  ],
  tempDirName: '.stryker-tmp',
  reporters: ['clear-text', 'progress', 'json', 'html'],
  clearTextReporter: { logTests: false, allowColor: false },
  concurrency: 2,
  // Only an endless loop takes so long, also on a busy machine.
  timeoutMS: 20_000,
  thresholds: { high: 95, low: 90, break: 90 },
};
