// Keeps a page up to date: fetches the same page again and puts the parts that can change,
// those with data-live, in their place. One request at a time, none while nobody looks.
"use strict";
(() => {
  const root = document.documentElement;
  const every = Number(root.dataset.every) * 1000;
  const most = 30_000; // between two tries, when nobody answers
  const quiet = 5 * 60_000; // after so long without a hand on it, the page asks less often
  let timer = 0, under = null, failed = 0, touched = Date.now(), good = new Date();

  for (const form of document.querySelectorAll("form[data-at-once]")) form.requestSubmit();
  for (const what of ["pointerdown", "keydown", "scroll"]) addEventListener(what, () => { touched = Date.now(); }, { passive: true });

  function wait() {
    clearTimeout(timer);
    if (document.hidden || !every) return;
    let pause = every * (Date.now() - touched > quiet ? 5 : 1);
    if (failed) pause = Math.min(most, every * 2 ** failed);
    timer = setTimeout(look, pause);
  }

  async function look() {
    if (under || document.hidden) return;
    under = new AbortController();
    const late = setTimeout(() => under.abort(), 10_000);
    try {
      const answer = await fetch(location.href, { signal: under.signal, headers: { Accept: "text/html" }, cache: "no-store", redirect: "manual" });
      if (answer.type === "opaqueredirect") return location.reload(); // nobody is signed in any more
      if (!answer.ok) throw new Error(answer.status);
      show(new DOMParser().parseFromString(await answer.text(), "text/html"));
      failed = 0;
      good = new Date();
    } catch {
      failed = Math.min(failed + 1, 6);
    } finally {
      clearTimeout(late);
      under = null;
    }
    tell();
    wait();
  }

  // show puts the new parts in place. Another stamp is that of another version, whose
  // script and look have to come, too.
  function show(next) {
    if (next.documentElement.dataset.stamp !== root.dataset.stamp) return location.reload();
    document.title = next.title;
    for (const part of document.querySelectorAll("[data-live]")) {
      const other = next.getElementById(part.id);
      if (!other || inUse(part)) continue;
      if (part.className !== other.className) part.className = other.className;
      if (part.innerHTML !== other.innerHTML) replace(part, other);
    }
  }

  // A part is left alone where somebody has selected text.
  function inUse(part) {
    const chosen = getSelection();
    return !chosen.isCollapsed && part.contains(chosen.anchorNode);
  }

  // replace keeps the focus on the link that had it, and how far a table was moved.
  function replace(part, other) {
    const at = part.contains(document.activeElement) ? document.activeElement : null;
    const href = at && at.getAttribute("href");
    const moved = [...part.querySelectorAll(".wide-enough")].map((e) => e.scrollLeft);
    part.replaceChildren(...other.childNodes);
    part.querySelectorAll(".wide-enough").forEach((e, i) => { if (moved[i]) e.scrollLeft = moved[i]; });
    if (href) for (const link of part.querySelectorAll("a[href]")) if (link.getAttribute("href") === href) { link.focus({ preventScroll: true }); break; }
  }

  function tell() {
    const lost = document.getElementById("lost");
    if (!lost) return;
    lost.hidden = failed < 2;
    document.getElementById("lost-since").textContent = good.toLocaleTimeString();
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else if (every) look();
  });
  addEventListener("pagehide", () => { clearTimeout(timer); if (under) under.abort(); });
  addEventListener("pageshow", (e) => { if (e.persisted) wait(); });
  wait();
})();
