// Time as a client sees it, faster than ours: everything in this process that asks the globals for the time
// or a timer, the unpatched client library included.

/**
 * Lets the globals' clock run `factor` times as fast, `ahead` milliseconds ahead of the real one.
 * node:timers and node:timers/promises keep real time.
 */
export function speedUp(factor, ahead) {
  const real = { setTimeout, setInterval, now: Date.now };
  const start = real.now();
  Date.now = () => Math.floor(start + ahead + (real.now() - start) * factor);
  globalThis.setTimeout = (run, time = 0, ...rest) => real.setTimeout(run, time / factor, ...rest);
  globalThis.setInterval = (run, time = 0, ...rest) => real.setInterval(run, time / factor, ...rest);
  return () => {
    Date.now = real.now;
    Object.assign(globalThis, { setTimeout: real.setTimeout, setInterval: real.setInterval });
  };
}
