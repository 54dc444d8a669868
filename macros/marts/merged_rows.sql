{% macro merged_rows(rows, months) %}
-- In the statement that reads the trips: so both are of one merge, whatever is merged meanwhile.
versioned as (

    select
        {{ rows }}.*,
        ledger.merged_at

    from {{ rows }}
    inner join {{ ref('file_ledger') }} as ledger
        on {{ rows }}.dataset = ledger.dataset
        and {{ rows }}.file_month = ledger.file_month
        and ledger.is_current

)

select {{ contract_order() }} from versioned
{{ kept_rows(months) }}
{% endmacro %}
