// The page's words: one table, from the page's own <script type="application/json" id="words">.

const table = JSON.parse(document.getElementById("words").textContent);

// The text called `key`, with {name} replaced by what `values` has of it
export function word(key, values = {}) {
  if (!(key in table)) throw Error(`the table of words has no ${key}`);
  return table[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

// `key.one`, `key.other` and the like, as the language has it, with {n} in it
export function counted(key, n, values = {}) {
  const form = new Intl.PluralRules(document.documentElement.lang).select(n);
  return word(`${key}.${form}` in table ? `${key}.${form}` : `${key}.other`, { n, ...values });
}
