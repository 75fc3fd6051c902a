// Holds answers to the server's own description: whatever a test asks, the answer must be one that
// GET /openapi.json promises.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const { Ajv2020 } = createRequire(new URL('../../sdk/package.json', import.meta.url))('ajv/dist/2020.js');

const formats = {
  uuid: /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i,
  'date-time': (text) => !Number.isNaN(Date.parse(text)),
};

export class Description {
  constructor(document) {
    this.document = document;
    this.ajv = new Ajv2020({ strict: false, allErrors: true, formats });
    this.ajv.addSchema({ $id: 'api', ...document });
    this.validators = new Map();
    this.templates = Object.keys(document.paths)
      .map((path) => ({ path, pattern: new RegExp(`^${path.replace(/[.*+?^$()|[\]\\]/g, '\\$&').replace(/\{[^}]+\}/g, '[^/]+')}$`) }))
      // A literal segment beats a parameter.
      .sort((a, b) => a.path.split('{').length - b.path.split('{').length);
  }

  /** The described operation of a request, or undefined. */
  operationOf(method, target) {
    const path = target.split('?')[0];
    const verb = method === 'HEAD' ? 'get' : method.toLowerCase();
    const found = this.templates.find(({ path: template, pattern }) => pattern.test(path) && this.document.paths[template][verb]);
    return found && { template: found.path, verb, ...this.document.paths[found.path][verb] };
  }

  /** Throws unless the answer is one of those described. Paths that are not described answer problems. */
  check(method, target, answer) {
    if (method === 'OPTIONS') return;
    const operation = this.operationOf(method, target);
    const name = `${method} ${target.split('?')[0]} -> ${answer.status}`;
    if (!operation) {
      const schema = target.startsWith('/oauth2/') ? 'oauth_error' : 'problem';
      this.validate(`#/components/schemas/${schema}`, answer, `${name}, not described`);
      assert.ok([400, 404, 405, 413, 414, 417, 431, 500, 501, 503, 504, 505].includes(answer.status), name);
      return;
    }
    const key = String(answer.status) in operation.responses ? String(answer.status) : 'default';
    const response = operation.responses[key];
    assert.ok(response, `${name}: not described`);
    if (!response.content) {
      assert.ok(key === 'default' || answer.text === '', `${name}: a body that is not described`);
      return;
    }
    if (method === 'HEAD') return;
    const type = (answer.headers['content-type'] ?? '').split(';')[0];
    assert.ok(type in response.content, `${name}: content type ${type} is not described`);
    const pointer = ['paths', operation.template, operation.verb, 'responses', key, 'content', type, 'schema']
      .map((part) => part.replaceAll('~', '~0').replaceAll('/', '~1')).join('/');
    this.validate(`#/${pointer}`, answer, name);
    assert.ok(answer.headers['x-request-id'], name);
  }

  validate(pointer, answer, name) {
    if (!this.validators.has(pointer)) this.validators.set(pointer, this.ajv.compile({ $ref: `api${encodeURI(pointer)}` }));
    const validate = this.validators.get(pointer);
    assert.ok(validate(answer.json), `${name}: ${this.ajv.errorsText(validate.errors)}\n${answer.text}`);
  }
}
