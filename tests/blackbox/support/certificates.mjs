// Certificates by openssl, as an operator makes them.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

export function openssl(...args) {
  execFileSync('openssl', args, { stdio: 'pipe' });
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** A self-signed certificate for localhost and `also` ("IP:..."): FOLDER/NAME.crt and .key. */
export function newCertificate(folder, name, also = []) {
  const [key, certificate] = [join(folder, `${name}.key`), join(folder, `${name}.crt`)];
  openssl('req', '-x509', ...newKey, '-keyout', key, '-out', certificate,
    '-days', '2', '-subj', `/CN=${name}`,
    '-addext', `subjectAltName=${['DNS:localhost', 'IP:127.0.0.1', ...also].join(',')}`);
  return { key, certificate };
}

/** An authority, and `issue(name)` for certificates of clients that it signs. */
export function newAuthority(folder, name) {
  const authority = [join(folder, `${name}.key`), join(folder, `${name}.crt`)];
  openssl('req', '-x509', ...newKey, '-keyout', authority[0], '-out', authority[1], '-days', '2', '-subj', `/CN=${name}`);
  return { certificate: authority[1],
    issue(client) {
      const [key, request, certificate] = ['key', 'csr', 'crt'].map((ending) => join(folder, `${client}.${ending}`));
      openssl('req', ...newKey, '-keyout', key, '-out', request, '-subj', `/CN=${client}`);
      openssl('x509', '-req', '-in', request, '-CA', authority[1], '-CAkey', authority[0], '-CAcreateserial', '-out', certificate, '-days', '2');
      return { key, certificate };
    } };
}
