/**
 * `npm audit` of what the service runs with: fails on high and critical findings. Where the registry does not answer the
 * question, as many mirrors do not, it says so and fails nothing.
 */
import { spawnSync } from 'node:child_process';
import process from 'node:process';

/** Findings that do no harm here, by the URL of their advisory, and why. */
const EXPLAINED = {};

const { stdout } = spawnSync('npm', ['audit', '--omit=dev', '--json'], {
  encoding: 'utf8',
  maxBuffer: 64 * 1024 * 1024,
});
let report = {};
try {
  report = JSON.parse(stdout ?? '') ?? {};
} catch {
  // As where there is no registry at all.
}
if (report.vulnerabilities === undefined) {
  console.log('npm audit: the registry does not answer it; nothing was audited');
} else {
  const advisories = Object.values(report.vulnerabilities)
    .flatMap(({ via }) => via)
    .filter((via) => typeof via === 'object' && ['high', 'critical'].includes(via.severity));
  const open = advisories.filter(({ url }) => EXPLAINED[url] === undefined);
  for (const { severity, name, title, url } of open)
    console.error(`npm audit: ${severity}: ${name}: ${title} (${url})`);
  console.log(
    `npm audit: ${open.length} high or critical findings, ${advisories.length - open.length} explained`,
  );
  process.exitCode = open.length === 0 ? 0 : 1;
}
