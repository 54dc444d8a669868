{#- List of the months in --vars (month or months), as dates on the 1st in text, sorted. Empty when there
    are none, which means all that is landed and not merged. Refuses a malformed month and an unknown
    variable. -#}
{% macro requested_months() %}
    {%- for name, value in invocation_args_dict.get('vars', {}).items() -%}
        {%- if name not in ('dataset', 'month', 'months') -%}
            {{ exceptions.raise_compiler_error("--vars: unknown name '" ~ name ~ "': use dataset, month or months") }}
        {%- elif value is none -%}
            {{ exceptions.raise_compiler_error("--vars: " ~ name ~ " has no value; leave it out, or give it one") }}
        {%- endif -%}
    {%- endfor -%}

    {%- set month, months = var('month', none), var('months', none) -%}
    {%- if month is not none and months is not none -%}
        {{ exceptions.raise_compiler_error("--vars: give month or months, not both") }}
    {%- endif -%}
    {%- if months is not none and (months is string or months is mapping or months is not iterable or not months) -%}
        {{ exceptions.raise_compiler_error("--vars: months is a list, for example {months: [2023-01, 2023-02]}") }}
    {%- endif -%}

    {%- set dates = [] -%}
    {%- for text in (months or ([month] if month is not none else [])) -%}
        {%- if text is not string or not modules.re.fullmatch('[0-9]{4}-(0[1-9]|1[0-2])', text) or text.startswith('0000') -%}
            {{ exceptions.raise_compiler_error("--vars: '" ~ text ~ "' is not a month: write YYYY-MM, for example {month: 2023-01}") }}
        {%- endif -%}
        {%- do dates.append(text ~ '-01') -%}
    {%- endfor -%}
    {{ return(dates | unique | sort | list) }}
{% endmacro %}


{% macro requested_datasets() %}
    {%- set dataset, known = var('dataset', none), datasets() -%}
    {%- if execute and dataset is not none and dataset not in known -%}
        {{ exceptions.raise_compiler_error("--vars: unknown dataset '" ~ dataset ~ "': choose from " ~ known | join(', ')) }}
    {%- endif -%}
    {{ return([dataset] if dataset is not none else known) }}
{% endmacro %}
