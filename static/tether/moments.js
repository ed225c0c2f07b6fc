/** Times on a page that the server painted whole, in the reader's own zone as elsewhere. Without script: the server's. */

import { dayAndTime } from "./page/times.js";

for (const time of document.querySelectorAll("time[data-moment]")) {
  time.textContent = dayAndTime.format(new Date(time.dateTime));
}
