"""Language features, one small template each: (template, variables). make_templates.py renders them with jinja2."""

D = {"a": 1, "b": [1, 2, 3], "c": {"d": "x", "e": None}, "s": "Hello, World", "f": 1.5, "t": True, "n": None,
     "u": "Grüße 日本 ß 𝄞", "empty": "", "el": [], "ed": {}, "words": ["banana", "Apple", "cherry", "apple"],
     "people": [{"name": "Ann", "age": 30, "on": True}, {"name": "Bob", "age": 25, "on": False},
                {"name": "Cid", "age": 35}],
     "nested": [[1, 2], [3, [4, 5]]], "neg": -7, "big": 12345678901, "text": "  pad \n", "lines": "one\ntwo\n\nthree",
     "q": "it's \"q\"", "html": "<a href='x'>&</a>"}

EXPRESSIONS = """
a + 1|a - 2|a * 3|7 / 2|7 // 2|-7 // 2|7 % 3|-7 % 3|7 % -3|2 ** 10|2 ** -1|2 ** 3 ** 2|-2 ** 2|7.5 // 2|-7.5 % 2|1e3
1.5e-7|1e16|1e15|123456789.123|0.1 + 0.2|1 / 3|100000000000000000000.0|1_000_000|0x1F|0b101|0o17|1.0|-0.0|3.14159|5e-324
1 + 2 * 3|(1 + 2) * 3|10 - 2 - 3|2 * 3 % 4|not true|not a == 1|true and false|true or false|0 or 'x'|'' and 'y'|none
True|None|false|[1, 2, 3]|(1, 2)|(1,)|()|{}|[]|{'a': 1, 'b': [1, 2]}|{'x': 'it\\'s', "y": "q\\"q"}|['a', "b'c", none, true, 1.0]
a == 1|a != 1|a < 2|a <= 1|a > 0|a >= 2|1 < 2 < 3|1 < 3 < 2|1 == 1.0|'a' < 'b'|[1, 2] < [1, 3]|(1, 2) == (1, 2)|'1' == 1
true == 1|none == false|{'a': 1} == {'a': 1.0}|2 in b|5 not in b|'ell' in s|'d' in c|'zz' in c|none in [none]|not 2 in b
s[0]|s[-1]|s[0:5]|s[::-1]|s[7:]|s[:-7]|s[::2]|s[-3:-1]|s[5:2]|s[100:]|b[0]|b[-1]|b[1:]|b[::-1]|b[:1]|b[5]|b[1:100]|b[-100:2]
u[0:3]|u[::-1]|u[6]|u|length|u[-1]|nested[1][1][0]|nested[0][::-1]|(1, 2, 3)[1:]|[1,2,3,4,5,6][1:5:2]|[1,2,3,4,5,6][5:1:-2]
a.b|c.d|c['d']|c['zz']|c.zz|people[0].name|people[1]['name']|b.0|nested.1.0|missing|missing is defined|missing or 'fallback'
'yes' if a == 1 else 'no'|'yes' if a == 2|'x' if false else 'y' if false else 'z'|(1 if t else 2) + 3
'a' ~ 1 ~ none ~ true ~ 1.5|a ~ b ~ c|'abc' 'def'|'a' * 3|3 * 'ab'|[0] * 3|[1] + [2]|(1,) + (2,)|'%s is %d' % ('x', 5)
'%05.1f|%-5s|%5s' % (3.14159, 'ab', 'cd')|'%x %X %o' % (255, 255, 8)|'%(k)s' % {'k': 'v'}|'%%' % ()|'%+d % d' % (5, 5)|'%s' % 'one'
'%r' % 'q'|'%s' % [1, 2]|'%e' % 12345.678|'%g' % 0.00001|'%5.2f%%' % 99.5|'%c' % 'x'|'%.3s' % 'abcdef'|'%03d' % -5
'\\n\\t\\\\'|'\\x41\\u00e9\\U0001F600'|'a\\'b'|"a\\"b"|'tab\\there'|'\\d'|'line\\
cont'
range(5)|list|range(2, 8, 3)|list|range(5, 0, -2)|list|range(0)|list
dict(a=1, b=2)|dict({'x': 1}, y=2)|dict([('k', 'v')])|namespace(x=1).x
"""

METHODS = """
s.upper()|s.lower()|s.title()|s.capitalize()|s.swapcase()|'hello world-foo bar'.title()|"they're bill's".title()|u.upper()|u.lower()|u.title()
text.strip()|text.lstrip()|text.rstrip()|'xxhixx'.strip('x')|'abcba'.lstrip('ab')|'abcba'.rstrip('ab')|'\\u00a0x\\u2003'.strip()
s.split(',')|s.split()|'a b  c'.split(' ')|'a b c d'.split(' ', 2)|'a b c d'.rsplit(' ', 2)|'  a  b  '.split()|' a b c '.split(none, 1)
' a b c '.rsplit(none, 1)|'a,b,,c'.split(',')|'abc'.split('x')|''.split()|''.split(',')|'a--b--c'.split('--', 1)|lines.splitlines()
'a\\r\\nb\\rc\\n'.splitlines()|'a\\nb'.splitlines(true)|s.split(', ')[1]|'</think>x</think>y'.split('</think>')[-1]
s.startswith('Hell')|s.endswith('d')|s.startswith(('x', 'H'))|s.endswith('')|s.find('o')|s.rfind('o')|s.find('zz')|s.find('o', 5)
s.find('l', 3, 5)|s.index('W')|s.count('l')|'aaa'.count('aa')|'abc'.count('')|s.replace('l', 'L')|s.replace('l', 'L', 2)|'abc'.replace('', '-')
'abc'.replace('', '-', 2)|u.replace('日', 'day')|','.join(['a', 'b'])|''.join(words)|'-'.join('abc')|'a:b:c'.partition(':')|'a:b:c'.rpartition(':')
'abc'.partition('x')|'123'.isdigit()|'12a'.isdigit()|''.isdigit()|'abc'.isalpha()|'ab1'.isalnum()|' \\t'.isspace()|'ABC'.isupper()|'aBc'.islower()
'x1'.islower()|'42'.zfill(5)|'-42'.zfill(5)|'ab'.ljust(5, '.')|'ab'.rjust(5)|'ab'.center(5, '*')|'abc'.center(6, '-')|'prefix-x'.removeprefix('prefix-')
'x.txt'.removesuffix('.txt')|'{} {}'.format(1, 'b')|'{0}{1}{0}'.format('a', 'b')|'{x}'.format(x=5)|'{:>5}|{:<5}|{:^5}'.format('a', 'b', 'c')
'{:05d}'.format(42)|'{:.2f}'.format(3.14159)|'{:,}'.format(1234567)|'{:+}'.format(5)|'{:x}'.format(255)|'{:#x}'.format(255)|'{:e}'.format(12345.678)
'{:%}'.format(0.25)|'{{}}'.format()|'{!r}'.format('a')|'{:*^9}'.format('mid')|'{p[name]}'.format(p=people[0])|'{0[1]}'.format(b)|'{:>{w}}'.format('r', w=4)
'{:g}'.format(1000000.0)|'{:10.3f}|'.format(2.5)|'{:b}'.format(5)|'{:.3}'.format('abcdef')|'{}'.format(none)|'{}'.format([1, 'a'])
c.keys()|list|c.values()|list|c.items()|list|c.get('d')|c.get('zz')|c.get('zz', 'dflt')|c.get('e', 1)|b.index(2)|b.count(1)|(1, 2, 1).count(1)
1.5.is_integer()|2.0.is_integer()|s.casefold()|'ß'.upper()|'ǆ'.title()
"""

FILTERS = """
-5|abs ## 2.5|abs ## s|upper ## s|lower ## 'hELLO wORLD'|title ## 'hELLO'|capitalize ## "it's a (test) foo-bar"|title ## text|trim ## 'xxaxx'|trim('x')
b|length ## s|count ## u|length ## c|length ## missing|length ## b|join(', ') ## b|join ## people|join(',', attribute='name') ## people|map(attribute='name')|join('-')
s|replace('o', '0') ## s|replace('o', '0', 1) ## b|first ## b|last ## s|first ## el|first ## s|last ## b|reverse|list ## s|reverse ## b|list ## s|list ## c|list
words|sort ## words|sort(reverse=true) ## words|sort(case_sensitive=true) ## people|sort(attribute='age')|map(attribute='name')|list ## [3, 1, 2]|sort
people|sort(attribute='age', reverse=true)|map(attribute='name')|join(',') ## nested|sort(attribute=0) ## words|unique|list ## [1, 1.0, 2, true]|unique|list
words|unique(case_sensitive=true)|list ## [4, 2, 9]|min ## [4, 2, 9]|max ## words|min ## words|max(case_sensitive=true) ## people|max(attribute='age')
[1, 2, 3]|sum ## people|sum(attribute='age') ## [1.5, 2]|sum ## [[1], [2]]|sum(start=[]) ## '5'|int ## '5.7'|int ## 'x'|int ## 'x'|int(7) ## 'ff'|int(base=16) ## '0x1A'|int(base=16) ## 5.9|int ## -5.9|int
' 42 '|int ## '1_000'|int ## true|int ## none|int ## none|int(default=3) ## '1e3'|int ## '2.5'|float ## 'x'|float ## 'x'|float(1.5) ## 5|float ## '1e-3'|float ## 'inf'|float
2.5|round ## 3.5|round ## 2.675|round(2) ## 42|round ## 42.123|round(1) ## 42.55|round(1, 'floor') ## 42.51|round(1, 'ceil') ## 1234.5|round(-2) ## 0.5|round ## 1.5|round|int
1|string ## none|string ## b|string ## c|string ## 1.0|string ## missing|default('d') ## n|default('d') ## n|default('d', true) ## ''|d('e', true) ## missing|d ## 0|default(5, boolean=true)
c|items|list ## missing|items|list ## c|dictsort ## {'b': 1, 'A': 2, 'a': 0}|dictsort ## {'b': 1, 'A': 2}|dictsort(case_sensitive=true) ## {'b': 1, 'a': 2}|dictsort(by='value') ## {'b': 1, 'a': 2}|dictsort(reverse=true)
lines|indent ## lines|indent(2) ## lines|indent(2, true) ## lines|indent(2, first=true, blank=true) ## lines|indent('> ') ## 'x'|indent(3, true) ## 'a\\n'|indent(2)
[1, 2, 3, 4, 5]|batch(2)|list ## [1, 2, 3]|batch(2, 'x')|list ## [1, 2, 3, 4, 5]|slice(2)|list ## [1, 2, 3, 4, 5]|slice(3, 'x')|list
b|select('odd')|list ## b|reject('odd')|list ## [0, 1, '', 'a', none]|select|list ## [0, 1, '', 'a']|reject|list ## people|selectattr('on')|map(attribute='name')|list ## people|rejectattr('on')|map(attribute='name')|list
people|selectattr('age', 'gt', 28)|map(attribute='name')|list ## people|selectattr('on', 'defined')|map(attribute='name')|list ## people|selectattr('name', 'equalto', 'Bob')|first ## people|rejectattr('age', '>=', 30)|list
words|map('upper')|list ## words|map('replace', 'a', 'A')|list ## words|map('length')|list ## people|map(attribute='on', default='?')|list ## nested|map('first')|list ## nested|map(attribute=1)|list ## ['1', '2']|map('int')|sum
c|tojson ## b|tojson ## s|tojson ## q|tojson ## u|tojson ## u|tojson(ensure_ascii=true) ## n|tojson ## 1.0|tojson ## 1e16|tojson ## t|tojson ## people|tojson(indent=2) ## c|tojson(indent=4) ## el|tojson(indent=2) ## ed|tojson(indent=2)
{'b': 1, 'a': 2}|tojson(sort_keys=true) ## [1, {'a': []}]|tojson(separators=(',', ':')) ## '\\x01\\x7f\\u2028</script>'|tojson ## {1: 'a', none: 'b', true: 'c', 1.5: 'd'}|tojson ## (1, 2)|tojson ## nested|tojson(indent=1) ## html|tojson ## nested|tojson(indent='--')
html|escape ## html|e ## s|safe ## 'a b'|urlencode ## 'a/b?c=d&e=ü'|urlencode ## {'a b': 'c/d', 'x': 1}|urlencode ## s|wordcount ## u|wordcount ## 'foo bar baz qux'|truncate(9) ## 'foo bar baz qux'|truncate(9, true) ## 'foo bar baz qux'|truncate(11) ## 'foo bar baz qux'|truncate(9, leeway=0, end='!')
'%s-%s'|format('a', 'b') ## '%(x)s'|format(x=1) ## 'ab'|center(6) ## people|groupby('on', default=false)|list|length ## people|groupby('age')|map(attribute=0)|list ## 'x'|attr('upper')() ## c|attr('d') ## s|list|first|upper
a|string|length ## (a + 1)|string ~ 'x' ## -1|abs + 2 ## a + '3'|int ## [1, 2]|join('|')|upper ## not missing|default(false) ## 'a,b'|replace(',', ';')|upper|lower ## s|upper|replace('L', 'l')|length
"""

TESTS = """
a is defined|missing is undefined|n is none|n is not none|a is number|t is number|t is boolean|a is integer|t is integer|f is float|s is string|c is mapping|b is sequence
s is sequence|c is sequence|b is iterable|s is iterable|a is iterable|missing is iterable|a is odd|a is even|a is divisibleby 3|9 is divisibleby(3)|a is eq 1|a is equalto(1)|a is ne 2
a is lt 2|a is gt 2|a is le 1|a is ge 5|a is in b|'x' is in 'xyz'|5 is not in b|s is lower|'abc' is lower|'ABC' is upper|t is true|t is false|n is sameas none|a is sameas 1
t is sameas true|missing is callable|range is callable|s is callable|a is not defined|a is defined and b is defined|a is number or false|b is mapping|'' is string|0 is false
people[0].on is defined|people[2].on is defined|people[2].on is true|c.e is none|c.zz is none|1.0 is integer|a is == 1|a is greaterthan 0|a is lessthan 0|(1, 2) is sequence|a is string
"""

ERRORS = """
missing.x|missing.x.y|missing['x']|missing + 1|n + 1|'a' + 1|1 + 'a'|[1] + 'a'|1 / 0|1 // 0|5 % 0|1.5 / 0|missing()|s()|s.nope()|'a' < 1|[1] < 'a'|none < 1|n|length|5|length|n|join
n.x.y|b.append(4)|c.update({'x': 1})|c.pop('d')|b|nosuchfilter|b is nosuchtest|range(1000000)|raise_exception('boom')|'%d' % 'x'|'%s %s' % ('a',)|'%s' % ('a', 'b')
{}[[]]|{[]: 1}|'abc'.index('z')|''.join([1])|n[0]|n[0:2]|a.b.c|'a' * 'b'|-'x'|'{}'.format()|'{z}'.format(a=1)|b|sort(attribute='x')|[1, 'a']|sort|missing|tojson
[missing]|tojson|'x' in 5|5 in 5|1 in n|a is divisibleby 0|missing is odd|missing|int|missing|upper|5|items|list|s.split('')|'abc'|batch(0)|list|people|selectattr|list|c|dictsort(by='x')
"""

STATEMENTS = [
    "{% for x in b %}{{ x }}{% endfor %}", "{% for x in el %}{{ x }}{% else %}none{% endfor %}",
    "{% for x in b %}{{ loop.index }}/{{ loop.length }}:{{ x }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% for x in b %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }};{% endfor %}",
    "{% for x in b %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}",
    "{% for x in b %}{{ loop.cycle('odd', 'even') }} {% endfor %}",
    "{% for x in [1, 1, 2, 2, 1] %}{% if loop.changed(x) %}{{ x }}{% endif %}{% endfor %}",
    "{% for x in b if x is odd %}{{ loop.index }}:{{ x }} {% endfor %}",
    "{% for x in b if x > 5 %}{{ x }}{% else %}empty{% endfor %}",
    "{% for k, v in c.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in c %}{{ k }}{% endfor %}",
    "{% for ch in 'abc' %}[{{ ch }}]{% endfor %}", "{% for a, (x, y) in [(1, (2, 3))] %}{{ a }}{{ x }}{{ y }}{% endfor %}",
    "{% for x in b %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in b %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in b %}{% for y in b %}{{ loop.index }}{{ x }}{{ y }} {% if y == 2 %}{% break %}{% endif %}{% endfor %}|{% endfor %}",
    "{% for x in nested recursive %}{% if x is iterable %}[{{ loop(x) }}]{% else %}{{ x }}@{{ loop.depth }}{% endif %}{% endfor %}",
    "{% for x in missing %}x{% else %}nothing{% endfor %}", "{% for x in b + [9] %}{{ x }}{% endfor %}",
    "{% for x in b|reverse %}{{ x }}{% endfor %}", "{% for x in range(3) %}{% for y in range(x) %}{{ x }}{{ y }} {% endfor %}{% endfor %}",
    "{% for m in people %}{{ m['name'] }}{% if m.on is defined and m.on %}!{% endif %}{% endfor %}",
    "{% for x in 1, 2, 3 %}{{ x }}{% endfor %}", "{% for x in (1 if true else 2, 3) %}{{ x }}{% endfor %}",
    "{% if a == 1 %}one{% elif a == 2 %}two{% else %}many{% endif %}", "{% if missing %}x{% elif b %}b{% endif %}",
    "{% if a == 1 and (b or c) and not n %}ok{% endif %}", "{% if '' %}a{% elif [] %}b{% elif {} %}c{% elif 0.0 %}d{% else %}e{% endif %}",
    "{% set x = 5 %}{{ x }}", "{% set x, y = 1, 2 %}{{ x }}{{ y }}", "{% set x %}block {{ a }}{% endset %}[{{ x }}]",
    "{% set x | upper %}block {{ a }}{% endset %}[{{ x }}]", "{% set x | replace('a', 'b') | upper %}banana{% endset %}{{ x }}",
    "{% set x = 1 %}{% for i in b %}{% set x = i %}{% endfor %}{{ x }}",
    "{% set ns = namespace(x=1, found=false) %}{% for i in b %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}{{ ns.found }}",
    "{% set ns = namespace() %}{% set ns.a = [] %}{% for i in b %}{% set ns.a = ns.a + [i * 2] %}{% endfor %}{{ ns.a }}",
    "{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}", "{% for i in b %}{% if loop.first %}{% set y = i %}{% endif %}{{ y is defined }}{% endfor %}",
    "{% set x = 0 %}{% for i in b %}{{ x }}{% set x = x + i %}{{ x }} {% endfor %}",
    "{% set x = (1, 2) %}{{ x }}", "{% set x = 1, %}{{ x }}", "{{ 1, 2 }}", "{% set ns = namespace(d={}) %}{{ ns.d }}{{ ns.zz is defined }}",
    "{% macro m(x, y=2, z='c') %}{{ x }}{{ y }}{{ z }}{% endmacro %}{{ m(1) }} {{ m(1, 5) }} {{ m(1, z='q') }} {{ m(y=1, x=0) }}",
    "{% macro m(x) %}[{{ x }}]{% endmacro %}{{ m() }}{{ m(none) }}", "{% macro m(x, y=x) %}{{ y }}{% endmacro %}{{ m(3) }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, k='v') }}",
    "{% macro box(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% call box('b') %}in {{ a }}{% endcall %}",
    "{% macro each(l) %}{% for i in l %}{{ caller(i, loop.index) }}{% endfor %}{% endmacro %}{% call(x, n) each(b) %}{{ n }}:{{ x }} {% endcall %}",
    "{% macro f(n) %}{% if n > 0 %}{{ n }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(4) }}",
    "{% macro m(x) %}{{ x ~ a }}{% endmacro %}{% set a = 'late' %}{{ m('-') }}", "{% macro m() %}  x  {% endmacro %}[{{ m()|trim }}]",
    "{% macro m(a, b=[]) %}{{ a }}{{ b|length }}{% endmacro %}{{ m(*[1, [2]]) }}{{ m(**{'a': 5}) }}",
    "{% set f = namespace(m=none) %}{% macro g() %}G{% endmacro %}{% set f.m = g %}{{ f.m() }}",
    "{% for i in b %}{% macro g() %}{{ i }}{% endmacro %}{{ g() }}{% endfor %}", "{% macro m() %}{% set x = 9 %}{{ x }}{% endmacro %}{{ m() }}{{ x is defined }}",
    "{% filter upper %}abc {{ a }} def{% endfilter %}", "{% filter replace('a', 'b') | upper %}banana{% endfilter %}",
    "{% with x = 1, y = a %}{{ x + y }}{% endwith %}{{ x is defined }}", "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q is defined }}",
    "{% generation %}gen {{ a }}{% endgeneration %}", "{% raw %}{{ a }}{% if %}{% endraw %}", "a{# comment #}b", "a{#- c -#} b",
    "{% raw -%}  x {%- endraw %} y", "{%- if true -%}  x  {%- endif -%}  y", "  {% if true %}\n  x\n  {% endif %}\n  y",
    "a\n  {% set x = 1 %}\nb{{ x }}\n", "a\n  {{ a }}\nb\n\n", "{% if true %}\n{% endif %}\n\nx", "a  {%- if true %} b {% endif -%}  c",
    "x\n   {#- c #}\ny\n  {# d #}\nz", "  {%+ if true %}x{% endif %}", "{% if true +%}\nx{% endif %}", "\n\n{% if true %}\n\n  a\n{%- endif %}\n",
    "{{- 'a' -}}   b {{- 'c' }}", "  {{ 'a' }}  \n", "a\r\nb\rc\n", "{% if true %}\r\nx{% endif %}", "{{ '}}' }}{{ '{{' }}{{ \"%}\" }}",
    "{{ {'a': {'b': 1}}['a']['b'] }}", "{{ {'a': {'b': 1}} }}", "{{ [[1, 2], {'k': (3,)}] }}", "{{ 'a' if true }}{{ 'b' if false }}",
    "{{ joiner is defined }}{% set j = joiner('|') %}{% for x in b %}{{ j() }}{{ x }}{% endfor %}",
    "{% set cy = cycler('a', 'b') %}{{ cy.next() }}{{ cy.next() }}{{ cy.next() }}{{ cy.current }}{{ cy.reset() }}{{ cy.next() }}",
    "{{ strftime_now('%Y-%m-%d') }}|{{ strftime_now('%d %b %Y') }}|{{ strftime_now('%A %B %H:%M:%S %p %j %y %I') }}|{{ strftime_now('%-d/%-m %%') }}",
    "{{ 'a\nb' }}", "{{ \"multi\nline\" }}|{{ 'x' }}", "{{ a }}{{ a }}\n{{ a }}", "{{ a if a }}{{ missing }}{{ c.nope }}|",
    "{% set a.b = 1 %}", "{% for x in 5 %}{% endfor %}", "{% for a, b in [1] %}{% endfor %}", "{% for a, b in [(1, 2, 3)] %}{% endfor %}",
    "{% macro m(x) %}{% endmacro %}{{ m(1, 2) }}", "{% macro m(x) %}{% endmacro %}{{ m(y=1) }}", "{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as y %}",
    "{% if %}{% endif %}", "{% for %}{% endfor %}", "{{ }}", "{{ 1 + }}", "{% if true %}", "{% endif %}", "{{ 'abc }}", "{{ a | }}", "{% unknown %}", "{{ (1 }}",
    "{# open", "{% raw %}x", "{{ a b }}", "{% set 1 = 2 %}", "{% break %}", "{{ [1, }}", "{{ {1} }}", "{{ a..b }}", "{{ 01 }}", "{{ ''.__class__ }}|", "{{ ''.__class__.__mro__ }}",
    "{{ (''|attr('__class__')).x }}", "{{ x.y if x is defined else 'none' }}", "{{ messages|length }}{{ tools is none }}{{ add_generation_prompt }}",
    "{%- for message in people %}\n    {{- message.name + '\\n' }}\n{%- endfor %}\n{%- if a %}\n    {{- 'end' }}\n{%- endif %}\n",
    "{% for x in b -%}\n  {{ x }}\n{%- endfor %}", "{% for x in b %}\n  {{ x }}\n{% endfor %}\n", "{{ people | map(attribute='name') | list | tojson }}",
    "{% set content = 'a</think>b' %}{% if '</think>' in content %}{{ content.split('</think>')[-1].lstrip('\\n') }}{% endif %}",
    "{% set last = namespace(i=-1) %}{% for m in people[::-1] %}{% set index = (people|length - 1) - loop.index0 %}{% if m.on is defined and last.i < 0 %}{% set last.i = index %}{% endif %}{% endfor %}{{ last.i }}",
    "{% if people[0]['name'] == 'Ann' %}{% set loop_messages = people[1:] %}{% else %}{% set loop_messages = people %}{% endif %}{% for m in loop_messages %}{{ m.name }}{% endfor %}",
    "{%- macro render(o, depth) -%}{%- if o is mapping -%}{%- for k, v in o|dictsort -%}{{ '  ' * depth }}{{ k }}:{{ render(v, depth + 1) }};{%- endfor -%}{%- elif o is string -%}'{{ o }}'{%- else -%}{{ o|tojson }}{%- endif -%}{%- endmacro -%}{{ render({'b': {'x': [1, 'y']}, 'a': 'z', 'n': none}, 0) }}",
    "{{ 'x' ~ (loop is defined) }}", "{% for x in b %}{{ loop }}{% break %}{% endfor %}"[:40] + "{% for x in b %}{{ loop.index }}{% endfor %}",
    "{{ a\n+\n1 }}", "{%\nif\na\n%}y{%\nendif\n%}", "{{a}}{{-a}}{{ -a }}", "{{ 'é' }}{{ 'é'|length }}", "{{ ('a', 'b')|join }}{{ (a, b)[0] }}",
    "{{ people|selectattr('age', 'in', [25, 35])|map(attribute='name')|join(' ') }}", "{{ [] is sequence and [] is not mapping }}", "{{ a is not none and a is defined }}",
    "{{ {'role': 'user'}.role }}{{ {'items': 5}['items'] }}", "{{ 1 if none else 2 if false else 3 }}", "{{ 'a' in ['a'] and 'b' not in ['a'] }}",
    "{{ ((a)) }}{{ ((a, 2)) }}", "{{ -a|abs }}{{ (-a)|abs }}", "{{ not a }}{{ not not a }}", "{{ a == 1 == true }}", "{{ true is true is defined }}" if False else "{{ (true is true) is defined }}",
]

SEPARATED = [(EXPRESSIONS, "|"), (METHODS, "|"), (TESTS, "|"), (ERRORS, "|")]


def split_plain(block):
    """Expressions separated by | at the top level of brackets and quotes; a filter is written without spaces."""
    for line in block.strip().replace("\\\n", "\x00").split("\n"):
        depth, quote, start, i = 0, "", 0, 0
        while i < len(line):
            ch = line[i]
            if quote:
                if ch == "\\":
                    i += 1
                elif ch == quote:
                    quote = ""
            elif ch in "'\"":
                quote = ch
            elif ch in "([{":
                depth += 1
            elif ch in ")]}":
                depth -= 1
            elif ch == "|" and depth == 0:
                word = line[i + 1:]
                if not word.startswith(("list|", "length|", "length\x00")) and not any(
                        word.startswith(name) for name in FILTER_WORDS):
                    yield line[start:i].replace("\x00", "\\\n")
                    start = i + 1
            i += 1
        yield line[start:].replace("\x00", "\\\n")


FILTER_WORDS = ("length", "list", "join", "nosuchfilter", "sort", "tojson", "int", "upper", "items", "batch", "selectattr", "dictsort")


def make_cases():
    for block, _ in SEPARATED:
        for expression in split_plain(block):
            yield "{{ " + expression + " }}", D
    for line in FILTERS.strip().split("\n"):
        for expression in line.split(" ## "):
            yield "{{ " + expression + " }}", D
    for statement in STATEMENTS:
        yield statement, D


def used(template, variables):
    """Only the variables that a template names, to keep the file small."""
    return {name: value for name, value in variables.items() if name in template}


CASES = [(template, used(template, variables)) for template, variables in make_cases()]
