import { type Share, work } from './workers.js';

const share = JSON.parse(process.argv[2] ?? '') as Share;
await work(share, (progress) => process.send?.(progress));
process.disconnect();
