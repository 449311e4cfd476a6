// Shows the numbers under the pointer at once, also by touch. The same texts are in the charts as
// titles, so nothing is lost without this.
(() => {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);
  const hide = () => { tip.hidden = true; };
  const show = (event) => {
    const strip = event.target.closest(".tips rect");
    if (!strip) return hide();
    const title = strip.querySelector("title");
    if (title) { strip.dataset.tip = title.textContent; title.remove(); }
    tip.textContent = strip.dataset.tip;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const right = event.clientX + 14 + box.width > document.documentElement.clientWidth;
    const left = right ? Math.max(4, event.clientX - 14 - box.width) : event.clientX + 14;
    tip.style.left = left + scrollX + "px";
    tip.style.top = Math.max(4, event.clientY - box.height - 10) + scrollY + "px";
  };
  addEventListener("pointermove", show);
  addEventListener("pointerdown", show);
  addEventListener("scroll", hide, { passive: true });
})();
