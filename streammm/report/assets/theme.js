// Light or dark: what was chosen before, else what the system says. Runs before anything is drawn.
"use strict";

const theme = {
  key: "streammm-theme",
  system: matchMedia("(prefers-color-scheme: dark)"),

  current() {
    return document.documentElement.dataset.theme || (theme.system.matches ? "dark" : "light");
  },

  choose(name) {
    document.documentElement.dataset.theme = name;
    try {
      localStorage.setItem(theme.key, name);
    } catch { /* a browser may keep nothing for pages from disk */ }
  },

  restore() {
    try {
      const name = localStorage.getItem(theme.key);
      if (name === "light" || name === "dark") document.documentElement.dataset.theme = name;
    } catch { /* as above */ }
  },

  // Makes a button change it, and say to what it would.
  bind(button) {
    const tell = () => {
      const other = theme.current() === "dark" ? "light" : "dark";
      button.setAttribute("aria-label", `Use the ${other} theme`);
      button.title = `Use the ${other} theme`;
    };
    button.addEventListener("click", () => {
      theme.choose(theme.current() === "dark" ? "light" : "dark");
      tell();
    });
    theme.system.addEventListener("change", tell);
    tell();
  },
};

theme.restore();
