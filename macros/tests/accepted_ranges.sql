{% test accepted_ranges(model, ranges) %}
    {%- set conditions = {} -%}
    {%- for column, range in ranges.items() -%}
        {%- do conditions.update({column: 'not (' ~ column ~ ' between ' ~ range[0] ~ ' and ' ~ range[1] ~ ')'}) -%}
    {%- endfor -%}
    {{ rows_by_column(model, conditions) }}
{% endtest %}
