// Posts and drafts that survive a bad line, a reload and a killed server.
(() => {
	'use strict';

	const $ = id => document.getElementById(id);
	const composer = $('composer');
	if (!composer) return;
	const body = $('body');
	const key = $('key');
	const outbox = $('outbox');
	const words = $('state').dataset;

	// Drafts and posts under way are kept by this browser, for this user and
	// channel. Storage may be forbidden: then they live as long as the page.
	const drawer = `hubbub:${composer.dataset.user}:${composer.dataset.channel}:`;
	const load = kind => {
		try {
			return Object.keys(localStorage).filter(name => name.startsWith(drawer + kind)).map(name => JSON.parse(localStorage.getItem(name)));
		} catch {
			return [];
		}
	};
	const save = (name, value) => {
		try {
			if (value) localStorage.setItem(drawer + name, JSON.stringify(value));
			else localStorage.removeItem(drawer + name);
		} catch { /* it lives as long as the page */ }
	};

	if (!body.value) body.value = load('draft')[0] || '';
	body.dispatchEvent(new Event('input'));
	const keepDraft = () => save('draft', body.value);
	body.addEventListener('input', keepDraft);
	composer.addEventListener('htmx:finally:request', keepDraft);
	if (!$('live')) {
		// On a page of earlier messages the form leads away: what is refused
		// comes back with the answer.
		composer.addEventListener('submit', () => save('draft', ''));
		return;
	}

	// Posts that could not be sent wait in the outbox, each under its key, so
	// that none can be made twice, not even by another tab.
	let waiting = load('post:').sort((a, b) => a.at - b.at);
	const forget = item => {
		waiting = waiting.filter(other => other !== item);
		save('post:' + item.key);
		show();
	};
	const show = () => {
		outbox.replaceChildren(...waiting.map(item => {
			const row = document.createElement('li');
			const text = document.createElement('p');
			const note = document.createElement('small');
			text.textContent = item.body;
			text.dir = 'auto';
			note.textContent = item.error || words.pending;
			row.append(text, note);
			if (item.error) {
				row.className = 'failed';
				row.append(button(words.retry, () => { delete item.error; flush(); }), button(words.edit, () => {
					body.value = body.value ? `${body.value}\n${item.body}` : item.body;
					body.focus();
					keepDraft();
					forget(item);
				}));
			}
			return row;
		}));
	};
	const button = (name, action) => {
		const b = document.createElement('button');
		b.type = 'button';
		b.className = 'quiet';
		b.textContent = name;
		b.addEventListener('click', action);
		return b;
	};
	const queue = (text, name) => {
		const item = { body: text, key: name, at: Date.now() };
		waiting.push(item);
		save('post:' + name, item);
		show();
		composer.dispatchEvent(new CustomEvent('hubbub:taken', { detail: text }));
		keepDraft();
	};

	let flushing = false;
	const flush = async () => {
		if (flushing) return;
		flushing = true;
		try {
			for (let item; (item = waiting.find(i => !i.error));) {
				const answer = await fetch(composer.action, {
					method: 'POST',
					headers: { 'HX-Request': 'true' },
					body: new URLSearchParams({ body: item.body, key: item.key }),
				});
				const text = await answer.text();
				if (answer.status === 503) break; // it is about to be back
				if (answer.ok) {
					if (text) await htmx.swap({ sourceElement: composer, target: '#messages', swap: 'upsert', text, transition: false });
					forget(item);
				} else {
					const said = new DOMParser().parseFromString(text, 'text/html');
					item.error = said.querySelector('p')?.textContent || words.failed;
					show();
				}
			}
		} catch { /* still away: the connection's return tries again */ }
		flushing = false;
	};

	// While others wait, a new post waits behind them: order is kept.
	composer.addEventListener('htmx:config:request', event => {
		if (!waiting.some(i => !i.error)) return;
		event.preventDefault();
		queue(body.value, key.value);
		flush();
	});
	composer.addEventListener('htmx:error', event => {
		const { ctx } = event.detail;
		if (!ctx?.request || ctx.response) return;
		queue(ctx.request.body.get('body'), ctx.request.body.get('key'));
		document.dispatchEvent(new Event('hubbub:lost'));
	});
	document.addEventListener('hubbub:live', () => flush());
	addEventListener('online', () => flush());
	show();
	flush();
})();
