import { lineOf, newApiKey } from '../adapters/access/api-keys.js';
import { readCaller } from '../application/access/caller.js';
import { type Caller, ROLES } from '../application/access/rules.js';
import { type Command, noneLeft, UsageError } from './command.js';

export const apiKeyCommand: Command = {
  name: 'api-key create',
  synopsis: '--role ROLE [--devices LIST] [--id NAME]',
  summary: 'make an API key, and the line that lets it in',
  help: `Makes a random key and prints two lines: the key, which is shown this once, and
the line for API_KEYS_FILE, which holds its hash. The service reads the file again
when it has changed.

--role ROLE        ${ROLES.join(', ')}: see docs/security.md
--devices LIST     separated by commas; of a device its id, of a component ids, or
                   what they begin with and a *, such as 'lamp-*'
--id NAME          whose key it is, for logs; default: a device's own id, the role
                   of others
`,
  options: ['role', 'devices', 'id'],
  async run({ positionals, values }) {
    noneLeft(positionals);
    const caller = callerOf(values);
    const key = newApiKey();
    if (process.stdout.isTTY) process.stderr.write('The key, and the line for API_KEYS_FILE:\n');
    process.stdout.write(`${key}\n${lineOf(caller, key)}\n`);
    return 0;
  },
};

/** Throws {@link UsageError}. */
export function callerOf(values: Readonly<Record<string, string | undefined>>): Caller {
  const { role } = values;
  if (role === undefined) throw new UsageError(`no --role: ${ROLES.join(', ')}`);
  const devices = (values['devices'] ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  const id = values['id'] ?? (role === 'device' ? devices[0] : undefined) ?? role;
  const caller = readCaller({ id, role, devices });
  if (typeof caller === 'string') throw new UsageError(caller);
  return caller;
}
