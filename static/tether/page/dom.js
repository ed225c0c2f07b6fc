/** The few things that all parts of the page do to the document. Text goes in as text, never as markup. */

export const find = (selector, within = document) => within.querySelector(selector);

export function clone(name) {
  return find(`#template-${name}`).content.firstElementChild.cloneNode(true);
}

/** Set text only where it differs, so that selections and screen readers are left in peace. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Make the children of `container` show `items`, reusing elements by key: those of the first paint too.
 * `make(item)` returns a new element, `update(element, item)` fills it.
 */
export function reconcile(container, items, { key, make, update }) {
  const wanted = new Set(items.map(key));
  for (const child of [...container.children]) if (!wanted.has(child.dataset.key)) child.remove();
  const known = new Map([...container.children].map((child) => [child.dataset.key, child]));
  let place = container.firstElementChild;
  for (const item of items) {
    const element = known.get(key(item)) ?? make(item);
    element.dataset.key = key(item);
    update(element, item);
    if (element === place) place = place.nextElementSibling;
    else container.insertBefore(element, place);
  }
}
