/** What AWS's clients know an error by. */
const ERROR_TYPES: Readonly<Record<number, string>> = {
  400: 'InvalidRequestException',
  401: 'UnauthorizedException',
  403: 'UnauthorizedException',
  404: 'ResourceNotFoundException',
  405: 'MethodNotAllowedException',
  409: 'ConflictException',
  413: 'RequestEntityTooLargeException',
  415: 'UnsupportedDocumentEncodingException',
  429: 'ThrottlingException',
  503: 'ServiceUnavailableException',
  504: 'ServiceUnavailableException',
};
const SHADOW_PATH = /^\/(?:things|api\/things)\//;

/** The header by which a refusal at one of AWS's addresses bears its name; of all other addresses none. */
export function shadowErrorHeaders(url: string | undefined, code: number): Readonly<Record<string, string>> {
  if (url === undefined || !SHADOW_PATH.test(url)) return {};
  return { 'x-amzn-errortype': ERROR_TYPES[code] ?? 'InternalFailureException' };
}
