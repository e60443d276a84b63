// What all modules use of the page and of the browser.

export const $ = id => document.getElementById(id);

// notice says in the page that something has failed and can be tried again. The
// words come with the page.
export const notice = () => {
	const failed = $('failed');
	if (failed) $('flash').append(failed.content.cloneNode(true));
};

// A notice that has faded takes no clicks, although it may keep its place.
export const startNotices = () => {
	$('flash').addEventListener('animationend', event => {
		if (event.target.matches('dialog')) event.target.close();
	});
};

// Storage may be forbidden or full: then what is stored lasts as long as the page.
const storage = where => ({
	// get returns what was put under a name, undefined for nothing.
	get(name) {
		try {
			return JSON.parse(window[where].getItem(name)) ?? undefined;
		} catch {
			return undefined;
		}
	},
	// set reports whether the value will be there on the next page.
	set(name, value) {
		try {
			window[where].setItem(name, JSON.stringify(value));
			return true;
		} catch {
			return false;
		}
	},
	remove(name) {
		try {
			window[where].removeItem(name);
		} catch { /* it was never stored */ }
	},
	names(prefix) {
		try {
			return Object.keys(window[where]).filter(name => name.startsWith(prefix));
		} catch {
			return [];
		}
	},
});

export const local = storage('localStorage');
export const session = storage('sessionStorage'); // of this tab
