/** Times as the reader has chosen them: their language, and their time zone if they named one, else the browser's. */

const { lang, dataset } = document.documentElement;

function format(options) {
  try {
    return new Intl.DateTimeFormat(lang, { ...options, timeZone: dataset.timeZone || undefined });
  } catch {
    return new Intl.DateTimeFormat(lang, options); // a zone that this browser does not know
  }
}

const clockTime = format({ hour: "numeric", minute: "2-digit" });
export const dayAndTime = format({ dateStyle: "medium", timeStyle: "short" });
const day = format({ dateStyle: "short" });

/** Return the time of day, with the day unless that is today. */
export function timeWords(time) {
  const isToday = day.format(time) === day.format(new Date());
  return (isToday ? clockTime : dayAndTime).format(time);
}
