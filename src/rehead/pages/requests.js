// Requests to the page's own server.

export class Refusal extends Error {
  // `status` is 0 where nobody answers; `wait` are the seconds after which to try again, or null
  constructor(status, message, wait = null) {
    super(message);
    this.status = status;
    this.wait = wait;
  }
}

// The JSON of an answer; Refusal where it is none
export async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, error.message);
  }
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  const wait = Number(answer.headers.get("retry-after"));
  throw new Refusal(answer.status, said.error || `${answer.status} ${answer.statusText}`, wait || null);
}
